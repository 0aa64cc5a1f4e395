//! The server's link against an agent and frontends that do anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dialback_core::server::{Link, LinkConfig, StreamOutput};
use dialback_core::{CloseReason, StreamId};

use super::input::{FIRST_DIAL, Input, LARGEST_DATA_BYTES};

/// Runs the inputs that `bytes` stand for.
///
/// # Panics
///
/// When the machine does, or breaks what its module says.
pub fn check_server_link(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mux, negotiated) = input.mux();
    let dial_timeout = (input.byte() & 1 == 1).then_some(Duration::from_secs(3));
    let bound = 3000 + LARGEST_DATA_BYTES;
    let limit = mux.max_streams;
    let replies = mux.max_unknown_replies;
    let config = LinkConfig {
        mux,
        dial_timeout,
        ..LinkConfig::default()
    };
    let mut run = Run {
        link: Link::new(config, negotiated, FIRST_DIAL),
        now: Instant::now(),
        streams: BTreeMap::new(),
    };
    while !input.is_empty() {
        run.operate(&mut input);
        assert!(run.link.stream_count() <= limit);
        for queued in run.link.queued_bytes() {
            assert!(
                queued.incoming <= bound && queued.outgoing <= bound,
                "{queued:?}"
            );
        }
    }
    run.end(limit, replies);
}

struct Run {
    link: Link,
    now: Instant,
    /// What each stream's frontend has heard.
    streams: BTreeMap<StreamId, Heard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Dialled,
    /// The end of the data, and not yet of the stream.
    EndOfData,
    End,
}

impl Run {
    fn operate(&mut self, input: &mut Input<'_>) {
        match input.byte() % 15 {
            0..=3 => {
                if self.link.wants_read() {
                    self.link.handle_packet(self.now, input.packet());
                }
            }
            4 => {
                if let Ok(id) = self
                    .link
                    .dial(self.now, "tcp".to_owned(), "host:80".to_owned())
                {
                    let fresh = self.streams.insert(id, Heard::Nothing).is_none();
                    assert!(fresh, "{id} was given twice");
                }
            }
            5 => {
                if let Some(id) = self.pick(input)
                    && self.link.wants_frontend_data(id)
                {
                    self.link.handle_frontend_data(id, input.bytes());
                }
            }
            6 => {
                if let Some(id) = self.pick(input) {
                    let reason = CloseReason::FrontendClosed;
                    self.link.handle_frontend_close(self.now, id, reason);
                }
            }
            7 => {
                if let Some(id) = self.pick(input) {
                    let reason = CloseReason::FrontendLost;
                    self.link.handle_frontend_gone(self.now, id, reason);
                    self.streams.insert(id, Heard::End);
                }
            }
            8 => {
                if let Some(id) = self.pick(input) {
                    self.poll_stream(id);
                }
            }
            9 => {
                self.link.poll_transmit(self.now);
            }
            10 => {
                self.now += input.time();
                self.link.handle_timeout(self.now);
            }
            11 => {
                if input.byte() == 0 {
                    self.link.handle_down(self.now);
                }
            }
            12 => match input.byte() % 4 {
                0 => self.link.handle_lost(self.now),
                1 => self.link.handle_established(self.now),
                _ => {
                    // Whether the count can be is for the link to say.
                    let _ = self.link.handle_resumed(self.now, input.count());
                }
            },
            13 => {
                if let Some(id) = self.pick(input) {
                    self.link.allow_half_close(id);
                }
            }
            _ => {
                if let Some(id) = self.pick(input) {
                    self.link.handle_frontend_end(self.now, id);
                }
            }
        }
        self.drain();
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<StreamId> {
        let index = input.index(self.streams.len())?;
        self.streams.keys().nth(index).copied()
    }

    fn poll_stream(&mut self, id: StreamId) {
        // A frontend that has gone does not ask.
        if self.streams.get(&id) == Some(&Heard::End) {
            return;
        }
        let Some(output) = self.link.poll_stream(self.now, id) else {
            return;
        };
        let heard = self.streams.get(&id).copied();
        let next = match (heard, &output) {
            (Some(Heard::Nothing), StreamOutput::Dialled(_))
            | (Some(Heard::Dialled), StreamOutput::Data(_)) => Heard::Dialled,
            (Some(Heard::Dialled), StreamOutput::EndOfData) => Heard::EndOfData,
            // A frontend that closes while its dial is pending gives it up and hears nothing.
            (Some(Heard::Nothing), StreamOutput::DialFailed(_))
            | (Some(Heard::Dialled | Heard::EndOfData), StreamOutput::Closed(_)) => Heard::End,
            _ => panic!("{output:?} came after {heard:?}"),
        };
        self.streams.insert(id, next);
    }

    fn drain(&mut self) {
        while let Some(id) = self.link.poll_wake() {
            assert!(self.streams.contains_key(&id), "{id} was never given");
        }
        while self.link.poll_event().is_some() {}
    }

    /// Whatever happened: the packets that wait are few, and once all frontends and the agent are gone nothing is
    /// left.
    fn end(mut self, limit: usize, replies: usize) {
        let mut waiting = 0;
        while self.link.poll_transmit(self.now).is_some() {
            waiting += 1;
        }
        // Data and an end of each stream, in packets of a byte at worst, and what is about streams.
        let data = limit * (3000 + LARGEST_DATA_BYTES + 1);
        assert!(waiting <= data + 4 * limit + replies, "{waiting} packets");
        let ids: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in ids {
            self.link
                .handle_frontend_gone(self.now, id, CloseReason::FrontendLost);
        }
        self.link.handle_down(self.now);
        self.drain();
        assert!(self.link.is_empty(), "{:#?}", self.link);
        assert!(self.link.poll_timeout().is_none() && !self.link.has_transmit());
    }
}
