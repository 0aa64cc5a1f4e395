//! Any bytes as packets and choices, with ids from so small a range that they often hit.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dialback_core::{ConnectId, DialId, MuxConfig, Negotiated, Packet};

/// Where the dial ids of a server under test begin.
pub(super) const FIRST_DIAL: i64 = 1;
/// The largest payload of one packet.
pub(super) const LARGEST_DATA_BYTES: usize = 2550;

/// Reads bytes; zeros behind the last.
#[derive(Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// One of `count` places, if there are any.
    pub(super) fn index(&mut self, count: usize) -> Option<usize> {
        let byte = usize::from(self.byte());
        (count > 0).then(|| byte % count)
    }

    pub(super) fn mux(&mut self) -> (MuxConfig, Negotiated) {
        let small = self.byte();
        let mux = MuxConfig {
            send_buffer_bytes: 3000,
            receive_buffer_bytes: 3000,
            receive_window_bytes: 3000,
            max_data_bytes: 1 + usize::from(self.byte()) * 10,
            max_streams: 1 + usize::from(small % 8),
            max_unknown_replies: usize::from(small % 5),
            ..MuxConfig::default()
        };
        let negotiated = Negotiated {
            peer_window_bytes: (small & 128 == 0).then(|| u64::from(self.byte()) * 20),
            ..self.agreed()
        };
        (mux, negotiated)
    }

    fn agreed(&mut self) -> Negotiated {
        let agreed = self.byte();
        Negotiated {
            peer_window_bytes: None,
            dialled_address: agreed & 16 == 16,
            drain: agreed & 8 == 8,
            half_close: agreed & 1 == 1,
            reset: agreed & 2 == 2,
            resume: agreed & 4 == 4,
        }
    }

    pub(super) fn bytes(&mut self) -> Bytes {
        Bytes::from(vec![7; usize::from(self.byte()) * 10])
    }

    pub(super) fn time(&mut self) -> Duration {
        let milliseconds = [0, 1, 10, 1000, 10_000, 30_000, 60_000];
        Duration::from_millis(milliseconds[usize::from(self.byte()) % milliseconds.len()])
    }

    /// A count of packets, often one that can be.
    pub(super) fn count(&mut self) -> u64 {
        match self.byte() {
            u8::MAX => u64::MAX,
            few => u64::from(few % 32),
        }
    }

    fn connect_id(&mut self) -> Option<ConnectId> {
        ConnectId::new(i64::from(self.byte() % 8))
    }

    fn dial(&mut self) -> DialId {
        DialId(FIRST_DIAL + i64::from(self.byte() % 12))
    }

    fn error(&mut self) -> String {
        ["", "", "refused"][usize::from(self.byte()) % 3].to_owned()
    }

    pub(super) fn packet(&mut self) -> Packet {
        match self.byte() % 13 {
            0 => Packet::DialRequest {
                dial: self.dial(),
                protocol: "tcp".to_owned(),
                address: "host:80".to_owned(),
            },
            1 | 2 => Packet::DialResponse {
                dial: self.dial(),
                connect_id: self.connect_id(),
                error: self.error(),
                // Not drawn, so that the corpora mean what they did.
                address: Some(SocketAddr::from(([192, 0, 2, 1], 443))),
            },
            3 => Packet::CloseRequest {
                connect_id: self.connect_id(),
            },
            4 => Packet::CloseResponse {
                connect_id: self.connect_id(),
                error: self.error(),
            },
            5 | 6 => Packet::Data {
                connect_id: self.connect_id(),
                data: self.bytes(),
            },
            7 => Packet::CloseDial { dial: self.dial() },
            8 => Packet::Drain,
            9 => Packet::CloseWrite {
                connect_id: self.connect_id(),
            },
            10 => Packet::Reset {
                connect_id: self.connect_id(),
                code: i32::from(self.byte()) - 1,
                text: self.error(),
            },
            11 => Packet::Ack {
                received: self.count(),
            },
            _ => Packet::WindowUpdate {
                connect_id: self.connect_id(),
                bytes: [1, 500, i64::MAX as u64, u64::MAX][usize::from(self.byte()) % 4],
            },
        }
    }
}
