#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect fails it"
)]

mod credit;
mod end;
mod ids;
mod outgoing;
mod readers;
mod timers;
mod windows;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::memory::MemoryBudget;

/// A link of streams, with ids given as plain numbers.
struct Fixture {
    mux: Mux<()>,
    epoch: Instant,
}

const MEBIBYTE: usize = 1024 * 1024;

fn config() -> MuxConfig {
    MuxConfig {
        send_buffer_bytes: 1000,
        receive_buffer_bytes: 1000,
        receive_window_bytes: 1000,
        max_receive_window_bytes: 1000,
        memory: MemoryBudget::new(MEBIBYTE * 64),
        max_data_bytes: 100,
        slow_stream_timeout: Duration::from_secs(10),
        close_timeout: Duration::from_secs(30),
        max_streams: 4,
        max_unknown_replies: 3,
    }
}

impl Fixture {
    /// A link to a plain Konnectivity peer.
    fn plain(config: MuxConfig) -> Self {
        Self::new(config, None)
    }

    /// A link whose peer granted `peer_window_bytes` on each stream.
    fn with_credit(config: MuxConfig, peer_window_bytes: u64) -> Self {
        Self::new(config, Some(peer_window_bytes))
    }

    #[expect(clippy::disallowed_methods, reason = "the one epoch of a test")]
    fn new(config: MuxConfig, peer_window_bytes: Option<u64>) -> Self {
        Self {
            mux: Mux::new(
                config,
                Negotiated {
                    peer_window_bytes,
                    ..Negotiated::default()
                },
            ),
            epoch: Instant::now(),
        }
    }

    fn at(&self, seconds: u64) -> Instant {
        self.epoch + Duration::from_secs(seconds)
    }

    /// A stream established under connection id `connect_id`.
    fn open(&mut self, connect_id: i64) -> StreamId {
        let id = self.mux.insert(()).unwrap();
        assert!(self.mux.establish(id, conn(connect_id)));
        id
    }

    fn push(&mut self, id: StreamId, length: usize) {
        self.mux.push(id, bytes(length));
    }

    fn receive(&mut self, connect_id: i64, length: usize) -> Received {
        self.mux
            .receive(self.epoch, conn(connect_id), bytes(length))
    }

    fn take(&mut self, id: StreamId) -> Option<usize> {
        self.mux.take(self.epoch, id).map(|data| data.len())
    }

    fn take_all(&mut self, id: StreamId) -> usize {
        std::iter::from_fn(|| self.take(id)).sum()
    }

    fn transmit(&mut self) -> Option<Packet> {
        self.mux
            .poll_transmit(self.epoch, true)
            .map(|outgoing| outgoing.packet)
    }

    /// Everything that can leave now, DATA as connection id and length.
    fn transmit_all(&mut self) -> Vec<(i64, usize)> {
        std::iter::from_fn(|| self.transmit())
            .map(|packet| {
                let Packet::Data { connect_id, data } = packet else {
                    panic!("only DATA was expected, not {packet:?}");
                };
                (ConnectId::wire(connect_id), data.len())
            })
            .collect()
    }

    /// Every DATA that can leave now; the peer may be told besides that credit has run out.
    fn transmit_data(&mut self) -> Vec<(i64, usize)> {
        std::iter::from_fn(|| self.transmit())
            .filter_map(|packet| match packet {
                Packet::Data { connect_id, data } => {
                    Some((ConnectId::wire(connect_id), data.len()))
                }
                Packet::WindowUpdate { bytes: 0, .. } => None,
                other => panic!("unexpected {other:?}"),
            })
            .collect()
    }

    /// Everything up to the next end: how many bytes of DATA, and what ended.
    fn transmit_all_until_end(&mut self) -> (usize, Ended) {
        let mut bytes = 0;
        loop {
            let outgoing = self.mux.poll_transmit(self.epoch, true).unwrap();
            if let Packet::Data { data, .. } = &outgoing.packet {
                bytes += data.len();
            }
            if let Some(ended) = outgoing.ended {
                return (bytes, ended);
            }
        }
    }

    fn held_bytes(&self) -> usize {
        let queues = self.mux.queued_bytes();
        queues.map(|queued| queued.outgoing + queued.incoming).sum()
    }

    fn wakes(&mut self) -> Vec<StreamId> {
        std::iter::from_fn(|| self.mux.poll_wake()).collect()
    }
}

fn conn(id: i64) -> ConnectId {
    ConnectId::new(id).unwrap()
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

fn close(connect_id: i64) -> Packet {
    Packet::CloseRequest {
        connect_id: ConnectId::new(connect_id),
    }
}

fn window(connect_id: i64, bytes: u64) -> Packet {
    Packet::WindowUpdate {
        connect_id: ConnectId::new(connect_id),
        bytes,
    }
}
