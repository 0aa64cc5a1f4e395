//! The agent's link against a server and endpoints that do anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use dialback_core::StreamId;
use dialback_core::agent::{EndpointOutput, Link, LinkConfig, LinkEvent};

use super::input::{Input, LARGEST_DATA_BYTES};

/// Runs the inputs that `bytes` stand for.
///
/// # Panics
///
/// When the machine does, or breaks what its module says.
pub fn check_agent_link(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (mux, negotiated) = input.mux();
    let bound = 3000 + LARGEST_DATA_BYTES;
    let (limit, replies) = (mux.max_streams, mux.max_unknown_replies);
    let config = LinkConfig {
        mux,
        ..LinkConfig::default()
    };
    let mut run = Run {
        link: Link::new(config, negotiated),
        now: Instant::now(),
        tasks: BTreeMap::new(),
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
    tasks: BTreeMap<StreamId, Task>,
}

/// What an endpoint's task was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Dialling,
    Open,
    /// The endpoint was told that nothing more comes.
    ShutDown,
    Closing,
    Aborting,
}

impl Run {
    fn operate(&mut self, input: &mut Input<'_>) {
        match input.byte() % 13 {
            0..=4 => {
                if self.link.wants_read() {
                    self.link.handle_packet(self.now, input.packet());
                }
            }
            5 => self.dialled(input),
            6 => {
                if let Some(id) = self.pick(input)
                    && self.link.wants_endpoint_data(id)
                {
                    self.link.handle_endpoint_data(id, input.bytes());
                }
            }
            7 => {
                if let Some(id) = self.pick(input) {
                    match input.byte() % 4 {
                        0 => self.link.handle_endpoint_end(self.now, id, Ok(())),
                        1 => {
                            let reset = Err("reset".to_owned());
                            self.link.handle_endpoint_end(self.now, id, reset);
                        }
                        2 => {
                            let error = "broken pipe".to_owned();
                            self.link.handle_endpoint_write_failed(self.now, id, error);
                        }
                        _ => {
                            self.link.handle_endpoint_gone(self.now, id);
                            self.tasks.remove(&id);
                        }
                    }
                }
            }
            8 => {
                if let Some(id) = self.pick(input) {
                    self.poll_endpoint(id);
                }
            }
            9 => {
                self.link.poll_transmit(self.now);
            }
            10 => {
                self.now += input.time();
                self.link.handle_timeout(self.now);
            }
            11 => match input.byte() % 4 {
                0 => self.link.handle_lost(self.now),
                1 => self.link.handle_established(self.now),
                _ => {
                    // Whether the count can be is for the link to say.
                    let _ = self.link.handle_resumed(self.now, input.count());
                }
            },
            _ => match input.byte() {
                0 => self.link.handle_down(self.now),
                1 => self.link.drain(),
                _ => {}
            },
        }
        self.drain();
    }

    fn pick(&self, input: &mut Input<'_>) -> Option<StreamId> {
        let index = input.index(self.tasks.len())?;
        self.tasks.keys().nth(index).copied()
    }

    fn dialled(&mut self, input: &mut Input<'_>) {
        let Some(id) = self.pick(input) else { return };
        let dialled = match input.byte() % 3 {
            0 => Err("refused".to_owned()),
            _ => Ok(Some(SocketAddr::from(([192, 0, 2, 1], 443)))),
        };
        let was_dialling = self.tasks.get(&id) == Some(&Task::Dialling);
        let connected = dialled.is_ok();
        let wanted = self.link.handle_dialled(self.now, id, dialled);
        assert!(
            !wanted || connected && was_dialling,
            "a connection that never was is wanted"
        );
        if wanted {
            self.tasks.insert(id, Task::Open);
        } else if was_dialling {
            self.tasks.remove(&id);
        }
    }

    fn poll_endpoint(&mut self, id: StreamId) {
        let Some(output) = self.link.poll_endpoint(self.now, id) else {
            return;
        };
        let before = self.tasks.get(&id).copied();
        let next = match (before, &output) {
            (Some(Task::Open), EndpointOutput::Write(_)) => Task::Open,
            (Some(Task::Open), EndpointOutput::Shutdown) => Task::ShutDown,
            (Some(Task::Open | Task::ShutDown | Task::Closing), EndpointOutput::Close) => {
                Task::Closing
            }
            (Some(_), EndpointOutput::Abort) => Task::Aborting,
            // What still comes between the close and the task's report is nobody's.
            (Some(Task::Closing), EndpointOutput::Write(_)) => Task::Closing,
            _ => panic!("{output:?} came after {before:?}"),
        };
        self.tasks.insert(id, next);
    }

    fn drain(&mut self) {
        while self.link.poll_wake().is_some() {}
        while let Some(event) = self.link.poll_event() {
            match event {
                LinkEvent::Dial { stream, .. } => {
                    let fresh = self.tasks.insert(stream, Task::Dialling).is_none();
                    assert!(fresh, "{stream} is dialled twice");
                }
                LinkEvent::DialAbandoned { stream } => {
                    assert_eq!(self.tasks.remove(&stream), Some(Task::Dialling));
                }
                LinkEvent::Opened { .. }
                | LinkEvent::Closed { .. }
                | LinkEvent::ServerDraining
                | LinkEvent::Suspended
                | LinkEvent::Resumed
                | LinkEvent::Silent
                | LinkEvent::Broken(_)
                | LinkEvent::Down => {}
            }
        }
    }

    /// Whatever happened: the packets that wait are few, and once all endpoints and the server are gone nothing is
    /// left.
    fn end(mut self, limit: usize, replies: usize) {
        let mut waiting = 0;
        while self.link.poll_transmit(self.now).is_some() {
            waiting += 1;
        }
        let data = limit * (3000 + LARGEST_DATA_BYTES + 1);
        // The drains are the driver's own.
        let drains = 64;
        assert!(
            waiting <= data + 4 * limit + replies + drains,
            "{waiting} packets"
        );
        self.link.handle_down(self.now);
        for id in self.tasks.keys() {
            self.link.handle_endpoint_gone(self.now, *id);
        }
        while self.link.poll_wake().is_some() {}
        while self.link.poll_event().is_some() {}
        assert!(self.link.is_empty(), "{:#?}", self.link);
        assert!(self.link.poll_timeout().is_none() && !self.link.has_transmit());
    }
}
