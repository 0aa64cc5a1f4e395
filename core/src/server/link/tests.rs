#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::time::Duration;

use super::*;
use crate::mux::MuxConfig;

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
        });
    }

    fn refuse(&mut self, dial: DialId, error: &str) {
        self.packet(Packet::DialResponse {
            dial,
            connect_id: None,
            error: error.to_owned(),
        });
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

// ---- dials ----

#[test]
fn a_dial_leaves_unchanged_under_an_id_of_the_server() {
    let mut t = Fixture::plain();
    t.link
        .dial(t.now, "tcp4".to_owned(), "host:1".to_owned())
        .unwrap();
    assert_eq!(
        t.transmit_all(),
        [Packet::DialRequest {
            dial: DialId(FIRST_DIAL),
            protocol: "tcp4".to_owned(),
            address: "host:1".to_owned(),
        }]
    );
    assert_eq!(t.events(), [LinkEvent::DialStarted]);
}

#[test]
fn dial_ids_wrap_around() {
    let mut t = Fixture::plain();
    t.link = Link::new(LinkConfig::default(), Negotiated::default(), i64::MAX);
    let (_, first) = t.sent_dial();
    let (_, second) = t.sent_dial();
    assert_eq!((first, second), (DialId(i64::MAX), DialId(i64::MIN)));
}

#[test]
fn a_good_answer_opens_the_stream_and_wakes_its_frontend() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    assert!(!t.link.wants_frontend_data(id));
    t.pass(2);
    t.answer(dial, 1);
    assert_eq!(t.wakes(), [id]);
    assert_eq!(t.outputs(id), [StreamOutput::Dialled(conn(1))]);
    assert!(t.link.wants_frontend_data(id));
    assert_eq!(
        t.events(),
        [
            LinkEvent::DialStarted,
            LinkEvent::DialEnded,
            LinkEvent::Opened {
                stream: id,
                connect_id: conn(1),
                took: Duration::from_secs(2),
            }
        ]
    );
    assert_eq!(t.link.poll_timeout(), None);
}

#[test]
fn a_refusal_reaches_the_frontend_word_for_word() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.refuse(dial, "connection refused");
    assert_eq!(t.wakes(), [id]);
    let error = DialError::Refused("connection refused".to_owned());
    assert_eq!(t.outputs(id), [dial_failed(error)]);
    assert!(t.link.is_empty());
    assert_eq!(
        t.events(),
        [
            LinkEvent::DialStarted,
            LinkEvent::DialEnded,
            LinkEvent::DialFailed(DialFailure::ErrorResponse)
        ]
    );
}

#[test]
fn an_answer_without_an_id_or_with_one_in_use_is_no_connection() {
    let mut t = Fixture::plain();
    t.open(1);
    for wire_id in [0, 1] {
        let (id, dial) = t.sent_dial();
        t.answer(dial, wire_id);
        assert_eq!(t.outputs(id), [dial_failed(DialError::InvalidAnswer)]);
    }
    assert_eq!(t.transmit(), None, "the stream that owns the id lives on");
    assert_eq!(t.link.stream_count(), 1);
}

#[test]
fn a_dial_that_the_agent_closes_fails() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.packet(Packet::CloseDial { dial });
    assert_eq!(t.outputs(id), [dial_failed(DialError::ClosedByAgent)]);
    assert!(t.link.is_empty());
}

#[test]
fn an_answer_that_nobody_waits_for_is_closed_and_counted() {
    let mut t = Fixture::plain();
    t.answer(DialId(77), 5);
    assert_eq!(t.transmit_all(), [close_request(5)]);
    assert_eq!(
        t.events(),
        [LinkEvent::DialFailed(DialFailure::UnrecognizedResponse)]
    );
}

#[test]
fn a_refusal_that_nobody_waits_for_is_only_counted() {
    let mut t = Fixture::plain();
    t.refuse(DialId(77), "connection refused");
    assert_eq!(t.transmit(), None);
    assert_eq!(t.events().len(), 1);
}

#[test]
fn a_second_answer_to_one_dial_is_closed() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.answer(dial, 1);
    t.answer(dial, 2);
    assert_eq!(t.transmit_all(), [close_request(2)]);
    assert_eq!(t.outputs(id), [StreamOutput::Dialled(conn(1))]);
}

#[test]
fn a_dial_within_the_bound_is_still_answered() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    assert_eq!(t.seconds_to_timeout(), Some(30));
    t.pass(29);
    t.answer(dial, 1);
    t.pass(1);
    assert_eq!(t.outputs(id), [StreamOutput::Dialled(conn(1))]);
}

#[test]
fn a_dial_that_is_not_answered_times_out_once_and_is_given_up_at_the_agent() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.pass(30);
    t.pass(30);
    assert_eq!(t.transmit_all(), [Packet::CloseDial { dial }]);
    assert_eq!(t.outputs(id), [dial_failed(DialError::TimedOut)]);
    assert!(t.link.is_empty());

    t.answer(dial, 1);
    assert_eq!(t.transmit_all(), [close_request(1)], "too late");
}

#[test]
fn a_dial_that_the_tunnel_does_not_take_never_leaves() {
    let mut t = Fixture::plain();
    let id = t.dial();
    t.pass(30);
    assert_eq!(t.outputs(id), [dial_failed(DialError::SendTimedOut)]);
    assert!(!t.link.has_transmit());
    assert!(!t.events().contains(&LinkEvent::Retired));
}

#[test]
fn with_a_dial_timeout_a_tunnel_that_takes_no_dial_is_retired() {
    let config = LinkConfig {
        dial_timeout: Some(Duration::from_secs(3)),
        ..LinkConfig::default()
    };
    let mut t = Fixture::new(config, Negotiated::default());
    let id = t.dial();
    t.pass(3);
    assert_eq!(t.outputs(id), [dial_failed(DialError::SendTimedOut)]);
    assert_eq!(t.events().last(), Some(&LinkEvent::Retired));
}

#[test]
fn the_dial_timeout_counts_anew_once_the_dial_has_left() {
    let config = LinkConfig {
        dial_timeout: Some(Duration::from_secs(3)),
        ..LinkConfig::default()
    };
    let mut t = Fixture::new(config, Negotiated::default());
    let id = t.dial();
    t.pass(2);
    t.transmit();
    t.pass(2);
    assert_eq!(t.output(id), None);
    t.pass(1);
    assert_eq!(t.output(id), Some(dial_failed(DialError::TimedOut)));
    assert!(!t.events().contains(&LinkEvent::Retired));
}

#[test]
fn a_dial_given_up_before_it_left_is_never_heard_of() {
    let mut t = Fixture::plain();
    let id = t.dial();
    t.frontend_goes(id);
    assert_eq!(t.transmit(), None);
    assert!(t.link.is_empty());
    assert_eq!(
        t.events(),
        [
            LinkEvent::DialStarted,
            LinkEvent::DialEnded,
            LinkEvent::DialFailed(DialFailure::FrontendClose)
        ]
    );
}

#[test]
fn a_dial_given_up_later_is_given_up_at_the_agent() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [Packet::CloseDial { dial }]);
    assert!(t.link.is_empty());

    t.answer(dial, 1);
    assert_eq!(t.transmit_all(), [close_request(1)]);
}

#[test]
fn dials_above_the_limit_of_streams_are_refused() {
    let mut t = Fixture::with_mux(MuxConfig {
        max_streams: 2,
        ..MuxConfig::default()
    });
    t.open(1);
    let (second, _) = t.sent_dial();
    let refused = t.link.dial(t.now, String::new(), String::new());
    assert_eq!(refused, Err(DialError::TooManyStreams { limit: 2 }));
    t.frontend_goes(second);
    t.transmit_all();
    t.dial();
}

// ---- data ----

#[test]
fn data_goes_both_ways() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    assert_eq!(t.wakes(), [id]);
    assert_eq!(t.outputs(id), [StreamOutput::Data(bytes(5))]);
    t.frontend_sends(id, 6);
    assert_eq!(t.transmit_all(), [data_packet(1, 6)]);
}

#[test]
fn data_before_the_answer_is_dropped() {
    let mut t = Fixture::plain();
    let (id, _) = t.sent_dial();
    t.frontend_sends(id, 6);
    assert_eq!(t.transmit(), None);
}

#[test]
fn data_for_an_unknown_id_is_answered_with_a_close() {
    let mut t = Fixture::plain();
    t.data(9, 5);
    assert_eq!(t.transmit_all(), [close_request(9)]);
}

#[test]
fn an_unknown_id_is_closed_once_however_often_it_is_named() {
    let mut t = Fixture::with_mux(MuxConfig {
        max_unknown_replies: 2,
        ..MuxConfig::default()
    });
    for _ in 0..1000 {
        t.data(9, 5);
    }
    // So a flood of data leaves room for the connection of a dial that was answered too late.
    t.answer(DialId(77), 10);
    t.answer(DialId(78), 11);
    assert_eq!(t.transmit_all(), [close_request(9), close_request(10)]);
    t.data(9, 5);
    assert_eq!(t.transmit_all(), [close_request(9)]);
}

#[test]
fn packets_that_name_nothing_or_come_from_the_wrong_side_are_ignored() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(0, 5);
    t.close_response(0, "");
    t.close_response(9, "");
    t.packet(Packet::CloseDial { dial: DialId(1) });
    t.packet(close_request(1));
    t.packet(Packet::DialRequest {
        dial: DialId(1),
        protocol: String::new(),
        address: String::new(),
    });
    for connect_id in [0, 9] {
        t.packet(Packet::WindowUpdate {
            connect_id: ConnectId::new(connect_id),
            bytes: u64::MAX,
        });
    }
    assert_eq!(t.transmit(), None);
    assert_eq!(t.outputs(id), []);
    assert_eq!(t.events(), []);
}

#[test]
fn a_frontend_is_paused_by_its_own_queue_only() {
    let mut t = Fixture::plain();
    let (first, second) = (t.open(1), t.open(2));
    t.frontend_sends(first, 256 * 1024);
    assert!(!t.link.wants_frontend_data(first));
    assert!(t.link.wants_frontend_data(second));
    t.transmit_all();
    assert!(t.link.wants_frontend_data(first));
    assert_eq!(t.wakes(), [first]);
}

#[test]
fn a_broken_credit_rule_resets_the_one_stream() {
    let mut t = Fixture::with_credit(
        MuxConfig {
            receive_window_bytes: 1000,
            ..MuxConfig::default()
        },
        1000,
    );
    let (greedy, other) = (t.open(1), t.open(2));
    t.data(1, 1001);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    assert_eq!(
        t.outputs(greedy),
        [closed(CloseReason::WindowOverrun(Initiator::Server))]
    );
    t.data(2, 1000);
    assert_eq!(t.outputs(other), [StreamOutput::Data(bytes(1000))]);

    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(2),
        bytes: u64::MAX,
    });
    assert_eq!(
        t.outputs(other),
        [closed(CloseReason::WindowOverrun(Initiator::Server))]
    );
    assert_eq!(t.link.stream_count(), 0);
}

#[test]
fn a_slow_frontend_of_a_plain_agent_is_cut_alone() {
    let mut t = Fixture::with_mux(MuxConfig {
        receive_buffer_bytes: 1000,
        ..MuxConfig::default()
    });
    let (slow, other) = (t.open(1), t.open(2));
    t.data(1, 2000);
    assert!(!t.link.wants_read());
    t.pass(9);
    assert!(!t.link.wants_read());
    t.pass(1);
    assert!(t.link.wants_read());
    assert_eq!(t.transmit_all(), [close_request(1)]);
    assert_eq!(
        t.outputs(slow),
        [closed(CloseReason::SlowReader(Initiator::Server))]
    );
    t.data(2, 5);
    assert_eq!(t.outputs(other), [StreamOutput::Data(bytes(5))]);
}

#[test]
fn a_slow_frontend_holds_the_tunnel_no_longer_when_the_endpoint_has_closed() {
    let mut t = Fixture::with_mux(MuxConfig {
        receive_buffer_bytes: 1000,
        ..MuxConfig::default()
    });
    let slow = t.open(1);
    t.data(1, 2000);
    t.close_response(1, "");
    assert!(!t.link.wants_read(), "what it holds counts all the same");
    t.pass(10);
    assert!(t.link.wants_read());
    // Bytes were dropped, so this end is no orderly one.
    assert_eq!(
        t.outputs(slow),
        [closed(CloseReason::SlowReader(Initiator::Server))]
    );
    assert_eq!(t.transmit(), None, "the agent knows the stream no more");
    assert!(t.link.is_empty());
}

// ---- ends ----

#[test]
fn the_endpoints_close_reaches_the_frontend_behind_its_data() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.pass(7);
    t.data(1, 5);
    t.close_response(1, "");
    assert_eq!(
        t.outputs(id),
        [
            StreamOutput::Data(bytes(5)),
            closed(CloseReason::EndpointClosed)
        ]
    );
    assert_eq!(
        t.events(),
        [LinkEvent::Closed {
            stream: id,
            connect_id: Some(conn(1)),
            lived: Duration::from_secs(7),
            reason: CloseReason::EndpointClosed,
        }]
    );
    assert!(t.link.is_empty());
}

#[test]
fn an_id_is_unknown_from_the_endpoints_close_on() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    t.close_response(1, "");
    t.data(1, 5);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    // A peer may use it again, even before the frontend has taken everything of the old connection.
    let (next, dial) = t.sent_dial();
    t.answer(dial, 1);
    assert_eq!(t.outputs(next), [StreamOutput::Dialled(conn(1))]);
    assert_eq!(t.output(id), Some(StreamOutput::Data(bytes(5))));
}

#[test]
fn a_whole_connection_can_pass_before_the_frontend_looks() {
    let mut t = Fixture::plain();
    let (id, dial) = t.sent_dial();
    t.answer(dial, 1);
    t.data(1, 5);
    t.close_response(1, "");
    assert_eq!(t.wakes(), [id]);
    assert_eq!(
        t.outputs(id),
        [
            StreamOutput::Dialled(conn(1)),
            StreamOutput::Data(bytes(5)),
            closed(CloseReason::EndpointClosed)
        ]
    );
    assert!(t.link.is_empty());
}

#[test]
fn an_error_of_the_agent_reaches_the_frontend() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.close_response(1, "read: connection reset by peer");
    let reason = CloseReason::EndpointFailed("read: connection reset by peer".to_owned());
    assert_eq!(t.outputs(id), [closed(reason)]);
}

#[test]
fn after_the_endpoints_close_nothing_is_sent_for_the_stream() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_sends(id, 5);
    t.close_response(1, "");
    t.frontend_sends(id, 5);
    assert!(!t.link.wants_frontend_data(id));
    t.frontend_closes(id);
    t.frontend_goes(id);
    assert_eq!(t.transmit(), None);
    assert!(t.link.is_empty());
}

#[test]
fn the_frontends_close_leaves_behind_its_data_and_waits_for_the_answer() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_sends(id, 5);
    t.frontend_closes(id);
    assert!(!t.link.wants_frontend_data(id));
    assert_eq!(t.transmit_all(), [data_packet(1, 5), close_request(1)]);
    t.data(1, 3);
    t.close_response(1, "");
    assert_eq!(
        t.outputs(id),
        [
            StreamOutput::Data(bytes(3)),
            closed(CloseReason::FrontendClosed)
        ]
    );
    assert!(t.link.is_empty());
}

#[test]
fn a_second_close_of_the_frontend_changes_nothing() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_closes(id);
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [close_request(1)]);
}

#[test]
fn an_error_in_answer_to_a_close_is_not_kept_from_the_frontend() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_sends(id, 5);
    t.frontend_closes(id);
    t.close_response(1, "write: broken pipe");
    let reason = CloseReason::EndpointFailed("write: broken pipe".to_owned());
    assert_eq!(t.outputs(id), [closed(reason)]);
}

#[test]
fn a_close_for_a_mistake_of_the_frontend_keeps_its_reason() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.link
        .handle_frontend_close(t.now, id, CloseReason::MismatchedIds);
    t.close_response(1, "");
    assert_eq!(t.outputs(id), [closed(CloseReason::MismatchedIds)]);
}

#[test]
fn a_close_that_is_not_answered_ends_after_the_close_timeout() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_closes(id);
    t.transmit();
    t.pass(29);
    assert_eq!(t.output(id), None);
    t.pass(1);
    assert_eq!(
        t.outputs(id),
        [closed(CloseReason::CloseTimedOut(Initiator::Server))]
    );
    assert_eq!(t.transmit(), None, "the agent was asked once");
    assert!(t.link.is_empty());
}

#[test]
fn a_close_that_the_tunnel_does_not_take_is_asked_for_all_the_same() {
    let mut t = Fixture::with_credit(MuxConfig::default(), 10);
    let id = t.open(1);
    t.frontend_sends(id, 20);
    t.frontend_closes(id);
    assert_eq!(t.transmit_all(), [data_packet(1, 10), out_of_credit(1)]);
    t.pass(30);
    assert_eq!(t.transmit_all(), [close_request(1)]);
    assert_eq!(
        t.outputs(id),
        [closed(CloseReason::CloseTimedOut(Initiator::Server))]
    );
}

#[test]
fn a_slow_upload_is_not_cut_short_by_its_close() {
    let mut t = Fixture::with_credit(MuxConfig::default(), 10);
    let id = t.open(1);
    t.frontend_sends(id, 40);
    t.frontend_closes(id);
    t.transmit_all();
    for _ in 0..2 {
        t.pass(20);
        t.packet(Packet::WindowUpdate {
            connect_id: ConnectId::new(1),
            bytes: 10,
        });
        assert_eq!(t.transmit_all(), [data_packet(1, 10), out_of_credit(1)]);
    }
    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(1),
        bytes: 10,
    });
    assert_eq!(t.transmit(), Some(data_packet(1, 10)));
    assert_eq!(t.transmit(), Some(close_request(1)));
    assert_eq!(t.output(id), None);
}

#[test]
fn a_frontend_that_is_gone_leaves_what_it_sent_and_drops_what_comes() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    t.frontend_sends(id, 6);
    t.frontend_goes(id);
    assert_eq!(t.transmit_all(), [data_packet(1, 6), close_request(1)]);
    t.data(1, 5);
    assert_eq!(t.output(id), None);
    assert_eq!(t.link.stream_count(), 1);
    t.close_response(1, "");
    assert!(t.link.is_empty());
    assert!(matches!(
        t.events()[..],
        [LinkEvent::Closed {
            reason: CloseReason::FrontendLost,
            ..
        }]
    ));
}

#[test]
fn a_frontend_that_is_gone_gives_the_agent_credit_to_finish() {
    let mut t = Fixture::with_credit(
        MuxConfig {
            receive_window_bytes: 1000,
            ..MuxConfig::default()
        },
        1000,
    );
    let id = t.open(1);
    t.data(1, 1000);
    t.frontend_goes(id);
    assert_eq!(
        t.transmit_all(),
        [
            Packet::WindowUpdate {
                connect_id: ConnectId::new(1),
                bytes: 1000
            },
            close_request(1)
        ]
    );
}

#[test]
fn a_frontend_that_goes_while_its_last_data_waits_frees_the_stream() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.data(1, 5);
    t.close_response(1, "");
    t.frontend_goes(id);
    assert!(t.link.is_empty());
}

// ---- the agent ----

#[test]
fn draining_is_told_once() {
    let mut t = Fixture::plain();
    t.packet(Packet::Drain);
    t.packet(Packet::Drain);
    assert!(t.link.is_draining());
    assert_eq!(t.events(), [LinkEvent::Draining]);
    t.dial();
}

#[test]
fn when_the_agent_is_lost_pending_dials_fail_and_streams_end_behind_their_data() {
    let mut t = Fixture::plain();
    let open = t.open(1);
    let (sent, _) = t.sent_dial();
    let unsent = t.dial();
    t.data(1, 5);
    t.events();
    t.wakes();
    t.link.handle_down(t.now);

    let mut woken = t.wakes();
    woken.sort_unstable();
    assert_eq!(woken, [open, sent, unsent]);
    for id in [sent, unsent] {
        assert_eq!(t.outputs(id), [dial_failed(DialError::AgentLost)]);
    }
    assert_eq!(
        t.outputs(open),
        [
            StreamOutput::Data(bytes(5)),
            closed(CloseReason::TunnelLost)
        ]
    );
    assert!(t.link.is_empty() && !t.link.has_transmit());
    let failure = LinkEvent::DialFailed(DialFailure::BackendClose);
    let events = t.events();
    assert_eq!(events.iter().filter(|event| **event == failure).count(), 2);
    assert_eq!(events.len(), 6);
}

#[test]
fn a_link_that_is_down_takes_nothing_more() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.link.handle_down(t.now);
    t.link.handle_down(t.now);
    assert_eq!(t.events().len(), 2);
    let dialled = t.link.dial(t.now, String::new(), String::new());
    assert_eq!(dialled, Err(DialError::AgentLost));
    t.data(9, 5);
    t.answer(DialId(9), 9);
    t.frontend_sends(id, 5);
    t.frontend_closes(id);
    assert_eq!(t.transmit(), None);
    assert_eq!(t.events(), []);
    assert_eq!(t.outputs(id), [closed(CloseReason::TunnelLost)]);
}

#[test]
fn a_stream_whose_close_was_asked_for_hears_of_the_lost_tunnel() {
    let mut t = Fixture::plain();
    let id = t.open(1);
    t.frontend_closes(id);
    t.link.handle_down(t.now);
    assert_eq!(t.outputs(id), [closed(CloseReason::TunnelLost)]);
    assert_eq!(t.link.poll_timeout(), None);
}

#[test]
fn timeouts_come_early_late_and_twice_without_harm() {
    let mut t = Fixture::plain();
    let (id, _) = t.sent_dial();
    t.pass(0);
    t.pass(10);
    assert_eq!(t.output(id), None);
    t.pass(1000);
    t.pass(0);
    assert_eq!(t.outputs(id), [dial_failed(DialError::TimedOut)]);
    assert_eq!(t.now - t.epoch, Duration::from_secs(1010));
}
