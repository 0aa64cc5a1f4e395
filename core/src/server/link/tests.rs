#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod agent;
mod data;
mod denied;
mod dialled_address;
mod dials;
mod ends;
mod half_close;
mod sessions;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::mux::MuxConfig;
use crate::server::dial::{DialFailure, StreamOutput};

/// A link, its frontends and a clock that the test moves.
struct Fixture {
    link: Link,
    now: Instant,
    epoch: Instant,
}

const FIRST_DIAL: i64 = 500;

impl Fixture {
    fn plain() -> Self {
        Self::new(LinkConfig::default(), Negotiated::default())
    }

    fn with_mux(mux: MuxConfig) -> Self {
        let config = LinkConfig {
            mux,
            ..LinkConfig::default()
        };
        Self::new(config, Negotiated::default())
    }

    fn with_credit(mux: MuxConfig, peer_window_bytes: u64) -> Self {
        let config = LinkConfig {
            mux,
            ..LinkConfig::default()
        };
        let negotiated = Negotiated {
            peer_window_bytes: Some(peer_window_bytes),
            ..Negotiated::default()
        };
        Self::new(config, negotiated)
    }

    #[expect(clippy::disallowed_methods, reason = "the one epoch of a test")]
    fn new(config: LinkConfig, negotiated: Negotiated) -> Self {
        let epoch = Instant::now();
        Self {
            link: Link::new(config, negotiated, FIRST_DIAL),
            now: epoch,
            epoch,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.link.handle_timeout(self.now);
    }

    fn seconds_to_timeout(&self) -> Option<u64> {
        self.link.poll_timeout().map(|at| (at - self.now).as_secs())
    }

    fn dial(&mut self) -> StreamId {
        self.link
            .dial(self.now, "tcp".to_owned(), "10.0.0.1:443".to_owned())
            .unwrap()
    }

    /// A dial that has left for the agent.
    fn sent_dial(&mut self) -> (StreamId, DialId) {
        let id = self.dial();
        let Some(Packet::DialRequest { dial, .. }) = self.transmit() else {
            panic!("the dial did not leave");
        };
        (id, dial)
    }

    /// An established stream whose frontend has heard the answer.
    fn open(&mut self, connect_id: i64) -> StreamId {
        let (id, dial) = self.sent_dial();
        self.answer(dial, connect_id);
        assert_eq!(
            self.output(id),
            Some(StreamOutput::Dialled(conn(connect_id)))
        );
        self.events();
        self.wakes();
        id
    }

    fn answer(&mut self, dial: DialId, connect_id: i64) {
        self.packet(Packet::DialResponse {
            dial,
            connect_id: ConnectId::new(connect_id),
            error: String::new(),
            address: None,
        });
    }

    fn refuse(&mut self, dial: DialId, error: &str) {
        self.packet(Packet::dial_failed(dial, error.to_owned()));
    }

    fn packet(&mut self, packet: Packet) {
        self.link.handle_packet(self.now, packet);
    }

    fn data(&mut self, connect_id: i64, length: usize) {
        self.packet(Packet::Data {
            connect_id: ConnectId::new(connect_id),
            data: bytes(length),
        });
    }

    fn close_response(&mut self, connect_id: i64, error: &str) {
        self.packet(Packet::CloseResponse {
            connect_id: ConnectId::new(connect_id),
            error: error.to_owned(),
        });
    }

    fn frontend_sends(&mut self, id: StreamId, length: usize) {
        self.link.handle_frontend_data(id, bytes(length));
    }

    fn frontend_closes(&mut self, id: StreamId) {
        self.link
            .handle_frontend_close(self.now, id, CloseReason::FrontendClosed);
    }

    fn frontend_goes(&mut self, id: StreamId) {
        self.link
            .handle_frontend_gone(self.now, id, CloseReason::FrontendLost);
    }

    fn output(&mut self, id: StreamId) -> Option<StreamOutput> {
        self.link.poll_stream(self.now, id)
    }

    fn outputs(&mut self, id: StreamId) -> Vec<StreamOutput> {
        std::iter::from_fn(|| self.output(id)).collect()
    }

    fn transmit(&mut self) -> Option<Packet> {
        self.link.poll_transmit(self.now)
    }

    fn transmit_all(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.transmit()).collect()
    }

    fn events(&mut self) -> Vec<LinkEvent> {
        std::iter::from_fn(|| self.link.poll_event()).collect()
    }

    fn wakes(&mut self) -> Vec<StreamId> {
        std::iter::from_fn(|| self.link.poll_wake()).collect()
    }
}

fn conn(id: i64) -> ConnectId {
    ConnectId::new(id).unwrap()
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

fn close_request(connect_id: i64) -> Packet {
    Packet::CloseRequest {
        connect_id: ConnectId::new(connect_id),
    }
}

/// The peer is told that more waits than it lets us send.
fn out_of_credit(connect_id: i64) -> Packet {
    Packet::WindowUpdate {
        connect_id: ConnectId::new(connect_id),
        bytes: 0,
    }
}

fn data_packet(connect_id: i64, length: usize) -> Packet {
    Packet::Data {
        connect_id: ConnectId::new(connect_id),
        data: bytes(length),
    }
}

fn closed(reason: CloseReason) -> StreamOutput {
    StreamOutput::Closed(reason)
}

fn dial_failed(error: DialError) -> StreamOutput {
    StreamOutput::DialFailed(error)
}
