//! A Proxy stream against a client that does anything and agents that answer anything.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use dialback_core::server::{
    DialError, ProxyAction, ProxyStream, ProxyStreamConfig, StreamOutput, StreamRef,
};
use dialback_core::{CloseReason, ConnectId, DialId, LinkId, Packet, StreamId};

use super::input::Input;

/// Runs the inputs that `bytes` stand for.
///
/// # Panics
///
/// When the machine does, or breaks what its module says.
pub fn check_proxy_stream(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let now = Instant::now();
    let config = ProxyStreamConfig {
        half_close: input.byte() & 1 == 1,
        ..ProxyStreamConfig::default()
    };
    let mut run = Run {
        proxy: ProxyStream::new(now, config),
        now,
        held: BTreeMap::new(),
        routes: Vec::new(),
        next_stream: 1,
    };
    while !input.is_empty() {
        run.operate(&mut input);
    }
    run.proxy.handle_end(CloseReason::FrontendLost);
    run.act();
    assert!(run.held.is_empty(), "{:?} were not let go", run.held);
    assert_eq!(run.proxy.poll_timeout(), None);
}

struct Run {
    proxy: ProxyStream,
    now: Instant,
    /// Streams that the driver holds for the machine, and whether their link has told of a connection.
    held: BTreeMap<u64, bool>,
    /// Dials that wait to be routed.
    routes: Vec<DialId>,
    next_stream: u64,
}

impl Run {
    fn operate(&mut self, input: &mut Input<'_>) {
        match input.byte() % 8 {
            0..=2 => {
                if self.proxy.wants_read() {
                    self.proxy.handle_packet(self.now, input.packet());
                }
            }
            3 => self.route(input),
            4 | 5 => self.output(input),
            6 => {
                if let Some(Packet::Data { data, .. }) = self.proxy.poll_transmit() {
                    assert!(!data.is_empty(), "a Go client takes it for the end");
                }
            }
            _ => {
                self.now += input.time();
                self.proxy.handle_timeout(self.now);
            }
        }
        self.act();
    }

    fn route(&mut self, input: &mut Input<'_>) {
        let Some(index) = input.index(self.routes.len()) else {
            return;
        };
        let dial = self.routes.swap_remove(index);
        let routed = match input.byte() % 4 {
            0 => Err(DialError::NoAgent),
            _ => {
                let stream = self.next_stream;
                self.next_stream += 1;
                self.held.insert(stream, false);
                Ok(stream_ref(stream))
            }
        };
        self.proxy.handle_routed(self.now, dial, routed);
    }

    fn output(&mut self, input: &mut Input<'_>) {
        let Some(index) = input.index(self.held.len()) else {
            return;
        };
        let Some((&stream, &dialled)) = self.held.iter().nth(index) else {
            return;
        };
        // In the order in which a link tells.
        let (output, last) = match (dialled, input.byte() % 4) {
            (false, 0) => (StreamOutput::DialFailed(DialError::TimedOut), true),
            (false, 1) => (StreamOutput::DialFailed(DialError::ClosedByAgent), true),
            (false, _) => match ConnectId::new(i64::from(input.byte() % 8)) {
                Some(connect_id) => (StreamOutput::Dialled(connect_id), false),
                None => return,
            },
            (true, 0) => (StreamOutput::Closed(CloseReason::EndpointClosed), true),
            (true, 1) => (StreamOutput::Data(Bytes::new()), false),
            (true, _) => (StreamOutput::Data(input.bytes()), false),
        };
        if last {
            self.held.remove(&stream);
        } else {
            self.held.insert(stream, true);
        }
        self.proxy
            .handle_output(self.now, stream_ref(stream), output);
    }

    fn act(&mut self) {
        while let Some(action) = self.proxy.poll_action() {
            match action {
                ProxyAction::Route { dial, .. } => self.routes.push(dial),
                ProxyAction::Gone(at, _) => {
                    let held = self.held.remove(&at.stream.0);
                    assert!(held.is_some(), "{at:?} was let go twice");
                }
                ProxyAction::Data(at, _)
                | ProxyAction::EndOfData(at)
                | ProxyAction::Close(at, _) => {
                    assert!(self.held.contains_key(&at.stream.0), "{at:?} is not held");
                }
                ProxyAction::Finish => {}
            }
        }
    }
}

fn stream_ref(stream: u64) -> StreamRef {
    StreamRef {
        link: LinkId(1),
        stream: StreamId(stream),
    }
}
