mod dialled_address;
mod half_close;
mod sessions;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::ids::ConnectId;
use crate::mux::MuxConfig;
use crate::wire::Packet;

/// A link, its endpoints and a clock that the test moves.
struct Fixture {
    link: Link,
    now: Instant,
}

impl Fixture {
    fn plain() -> Self {
        Self::with_mux(MuxConfig::default())
    }

    fn with_mux(mux: MuxConfig) -> Self {
        Self::new(mux, Negotiated::default())
    }

    fn with_credit(mux: MuxConfig, peer_window_bytes: u64) -> Self {
        let negotiated = Negotiated {
            peer_window_bytes: Some(peer_window_bytes),
            ..Negotiated::default()
        };
        Self::new(mux, negotiated)
    }

    #[expect(clippy::disallowed_methods, reason = "the one epoch of a test")]
    fn new(mux: MuxConfig, negotiated: Negotiated) -> Self {
        Self {
            link: Link::new(
                LinkConfig {
                    mux,
                    ..LinkConfig::default()
                },
                negotiated,
            ),
            now: Instant::now(),
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.link.handle_timeout(self.now);
    }

    fn packet(&mut self, packet: Packet) {
        self.link.handle_packet(self.now, packet);
    }

    /// A dial from the server, as the stream that the agent is to dial for.
    fn dial(&mut self, dial: i64) -> StreamId {
        self.packet(dial_request(dial));
        let events = self.events();
        let [LinkEvent::Dial { stream, .. }] = events[..] else {
            panic!("expected a dial, not {events:?}");
        };
        stream
    }

    fn dialled(&mut self, id: StreamId, dialled: Result<(), &str>) -> bool {
        let dialled = dialled.map(|()| None).map_err(str::to_owned);
        self.link.handle_dialled(self.now, id, dialled)
    }

    /// An established stream whose answer has left; ids count from 1.
    fn open(&mut self, dial: i64) -> StreamId {
        let id = self.dial(dial);
        assert!(self.dialled(id, Ok(())));
        self.events();
        assert!(matches!(
            self.transmit(),
            Some(Packet::DialResponse {
                connect_id: Some(_),
                ..
            })
        ));
        id
    }

    fn data(&mut self, connect_id: i64, length: usize) {
        self.packet(Packet::Data {
            connect_id: ConnectId::new(connect_id),
            data: bytes(length),
        });
    }

    fn close(&mut self, connect_id: i64) {
        self.packet(Packet::CloseRequest {
            connect_id: ConnectId::new(connect_id),
        });
    }

    fn endpoint_sends(&mut self, id: StreamId, length: usize) {
        self.link.handle_endpoint_data(id, bytes(length));
    }

    fn endpoint_ends(&mut self, id: StreamId, end: Result<(), &str>) {
        let end = end.map_err(str::to_owned);
        self.link.handle_endpoint_end(self.now, id, end);
    }

    fn endpoint_goes(&mut self, id: StreamId) {
        self.link.handle_endpoint_gone(self.now, id);
    }

    fn output(&mut self, id: StreamId) -> Option<EndpointOutput> {
        self.link.poll_endpoint(self.now, id)
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

    /// Why the one connection that ended since the last look has ended.
    fn close_reason(&mut self) -> CloseReason {
        let events = self.events();
        let [LinkEvent::Closed { reason, .. }] = &events[..] else {
            panic!("expected one close, not {events:?}");
        };
        reason.clone()
    }
}

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

fn dial_request(dial: i64) -> Packet {
    Packet::DialRequest {
        dial: DialId(dial),
        protocol: "tcp".to_owned(),
        address: "10.0.0.1:443".to_owned(),
    }
}

fn good_answer(dial: i64, connect_id: i64) -> Packet {
    Packet::DialResponse {
        dial: DialId(dial),
        connect_id: ConnectId::new(connect_id),
        error: String::new(),
        address: None,
    }
}

fn refusal(dial: i64, error: &str) -> Packet {
    Packet::dial_failed(DialId(dial), error.to_owned())
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

fn close_response(connect_id: i64, error: &str) -> Packet {
    Packet::CloseResponse {
        connect_id: ConnectId::new(connect_id),
        error: error.to_owned(),
    }
}

// ---- dials ----

#[test]
fn a_dial_reaches_the_driver_unchecked() {
    let mut t = Fixture::plain();
    t.packet(Packet::DialRequest {
        dial: DialId(-3),
        protocol: "unix".to_owned(),
        address: "nonsense".to_owned(),
    });
    let events = t.events();
    assert!(matches!(
        &events[..],
        [LinkEvent::Dial { protocol, address, .. }] if protocol == "unix" && address == "nonsense"
    ));
    assert_eq!(t.transmit(), None);
}

#[test]
fn the_answer_echoes_the_dial_and_counts_connections_from_one() {
    let mut t = Fixture::plain();
    let (first, second) = (t.dial(-3), t.dial(900));
    assert!(t.dialled(second, Ok(())));
    assert!(t.dialled(first, Ok(())));
    assert_eq!(t.transmit_all(), [good_answer(900, 2), good_answer(-3, 1)]);
    assert!(t.link.wants_endpoint_data(first));
}

#[test]
fn a_failed_dial_is_answered_in_the_drivers_words_and_leaves_a_gap() {
    let mut t = Fixture::plain();
    let id = t.dial(5);
    assert!(!t.dialled(id, Err("dial tcp 127.0.0.1:1: connect: connection refused")));
    assert_eq!(
        t.transmit_all(),
        [refusal(
            5,
            "dial tcp 127.0.0.1:1: connect: connection refused"
        )]
    );
    assert!(t.link.is_empty());

    let next = t.dial(6);
    t.dialled(next, Ok(()));
    assert_eq!(t.transmit_all(), [good_answer(6, 2)]);
}

#[test]
fn a_failure_without_words_is_still_a_failure_on_the_wire() {
    let mut t = Fixture::plain();
    let id = t.dial(5);
    t.dialled(id, Err(""));
    assert_eq!(t.transmit_all(), [refusal(5, "dial failed")]);
}

#[test]
fn a_dial_id_in_use_is_refused_and_the_first_dial_goes_on() {
    let mut t = Fixture::plain();
    let id = t.dial(5);
    t.packet(dial_request(5));
    assert_eq!(t.events(), []);
    assert_eq!(t.transmit_all(), [refusal(5, "dial id is already in use")]);
    assert!(t.dialled(id, Ok(())));
    assert_eq!(t.transmit_all(), [good_answer(5, 1)]);
}

#[test]
fn a_dial_id_may_be_used_again_once_answered() {
    let mut t = Fixture::plain();
    t.open(5);
    t.open(5);
    assert_eq!(t.link.stream_count(), 2);
}

#[test]
fn a_dial_given_up_is_stopped_and_never_answered() {
    let mut t = Fixture::plain();
    let id = t.dial(5);
    t.packet(Packet::CloseDial { dial: DialId(5) });
    assert_eq!(t.events(), [LinkEvent::DialAbandoned { stream: id }]);
    assert!(t.link.is_aborted(id));
    assert!(!t.dialled(id, Ok(())), "the late connection is not wanted");
    assert_eq!(t.transmit(), None);
    assert!(t.link.is_empty());
}

#[test]
fn a_dial_given_up_after_its_answer_is_no_end_of_the_connection() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.packet(Packet::CloseDial { dial: DialId(5) });
    assert_eq!(t.events(), []);
    assert!(t.link.wants_endpoint_data(id));
}

#[test]
fn a_dial_whose_task_goes_is_answered_with_an_error() {
    let mut t = Fixture::plain();
    let id = t.dial(5);
    t.endpoint_goes(id);
    assert_eq!(t.transmit_all(), [refusal(5, "agent gave the dial up")]);
    assert!(t.link.is_empty());
}

#[test]
fn dials_above_the_limit_of_streams_are_refused() {
    let mut t = Fixture::with_mux(MuxConfig {
        max_streams: 2,
        ..MuxConfig::default()
    });
    t.dial(1);
    let second = t.dial(2);
    t.packet(dial_request(3));
    let error = "agent is at its limit of 2 streams on this tunnel";
    assert_eq!(t.transmit_all(), [refusal(3, error)]);
    assert_eq!(t.events(), []);

    t.dialled(second, Err("refused"));
    t.dial(4);
}

#[test]
fn a_server_that_dials_and_reads_no_answer_costs_bounded_memory() {
    let mut t = Fixture::with_mux(MuxConfig {
        max_streams: 10,
        max_unknown_replies: 5,
        ..MuxConfig::default()
    });
    for dial in 0..1000 {
        t.packet(dial_request(dial));
        for event in t.events() {
            let LinkEvent::Dial { stream, .. } = event else {
                panic!("expected a dial, not {event:?}");
            };
            t.dialled(stream, Err("connection refused"));
        }
    }
    assert_eq!(t.transmit_all().len(), 15);
}

// ---- data ----

#[test]
fn data_goes_both_ways() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.data(1, 6);
    assert_eq!(t.wakes(), [id]);
    assert_eq!(t.output(id), Some(EndpointOutput::Write(bytes(6))));
    assert_eq!(t.output(id), None);
    t.endpoint_sends(id, 7);
    assert_eq!(t.transmit_all(), [data_packet(1, 7)]);
}

#[test]
fn data_never_overtakes_the_answer() {
    let mut t = Fixture::plain();
    let id = t.dial(5);
    t.dialled(id, Ok(()));
    t.endpoint_sends(id, 7);
    t.endpoint_ends(id, Ok(()));
    assert_eq!(
        t.transmit_all(),
        [good_answer(5, 1), data_packet(1, 7), close_response(1, "")]
    );
}

#[test]
fn packets_for_unknown_connections_are_answered_in_the_references_words() {
    let mut t = Fixture::plain();
    t.data(9, 5);
    t.close(9);
    t.close(0);
    assert_eq!(
        t.transmit_all(),
        [
            close_response(9, "unrecognized connectID"),
            close_response(9, "Unknown connectID"),
            close_response(0, "Unknown connectID")
        ]
    );
}

#[test]
fn a_repeated_close_is_answered_behind_the_answer_to_the_first() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.link.handle_endpoint_data(id, bytes(7));
    t.close(1);
    t.close(1);
    assert_eq!(
        t.transmit_all(),
        [
            data_packet(1, 7),
            close_response(1, ""),
            close_response(1, "Unknown connectID")
        ]
    );
}

#[test]
fn packets_that_name_nothing_or_come_from_the_wrong_side_are_ignored() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.data(0, 5);
    t.packet(Packet::Drain);
    t.packet(good_answer(5, 1));
    t.packet(close_response(1, ""));
    t.packet(Packet::CloseDial { dial: DialId(99) });
    for connect_id in [0, 9] {
        t.packet(Packet::WindowUpdate {
            connect_id: ConnectId::new(connect_id),
            bytes: u64::MAX,
        });
    }
    assert_eq!(t.transmit(), None);
    assert_eq!(t.events(), []);
    assert_eq!(t.output(id), None);
}

#[test]
fn an_endpoint_is_paused_by_its_own_queue_only() {
    let mut t = Fixture::plain();
    let (first, second) = (t.open(5), t.open(6));
    t.endpoint_sends(first, 256 * 1024);
    assert!(!t.link.wants_endpoint_data(first));
    assert!(t.link.wants_endpoint_data(second));
    t.transmit_all();
    assert!(t.link.wants_endpoint_data(first));
    assert_eq!(t.wakes(), [first]);
}

#[test]
fn a_slow_endpoint_of_a_plain_server_is_cut_alone() {
    let mut t = Fixture::with_mux(MuxConfig {
        receive_buffer_bytes: 1000,
        ..MuxConfig::default()
    });
    let (slow, other) = (t.open(5), t.open(6));
    t.data(1, 2000);
    assert!(!t.link.wants_read());
    t.pass(10);
    assert!(t.link.wants_read());
    assert_eq!(t.output(slow), Some(EndpointOutput::Abort));
    assert_eq!(
        t.transmit_all(),
        [close_response(
            1,
            "reader took nothing for the slow-stream timeout"
        )]
    );
    assert_eq!(t.close_reason(), CloseReason::SlowReader(Initiator::Agent));
    t.endpoint_goes(slow);
    assert_eq!(t.link.stream_count(), 1);
    t.data(2, 5);
    assert_eq!(t.output(other), Some(EndpointOutput::Write(bytes(5))));
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
    let (greedy, other) = (t.open(5), t.open(6));
    t.data(1, 1001);
    assert_eq!(t.output(greedy), Some(EndpointOutput::Abort));
    let error = "peer sent more than its credit";
    assert_eq!(t.transmit_all(), [close_response(1, error)]);
    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(2),
        bytes: u64::MAX,
    });
    assert_eq!(t.output(other), Some(EndpointOutput::Abort));
    t.transmit_all();
    t.endpoint_goes(greedy);
    t.endpoint_goes(other);
    assert!(t.link.is_empty());
}

// ---- ends ----

#[test]
fn the_endpoints_end_leaves_behind_its_data() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.endpoint_sends(id, 7);
    t.endpoint_ends(id, Ok(()));
    assert_eq!(t.close_reason(), CloseReason::EndpointClosed);
    assert_eq!(t.transmit_all(), [data_packet(1, 7), close_response(1, "")]);
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn an_endpoint_that_breaks_is_no_orderly_end() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.endpoint_sends(id, 7);
    t.endpoint_ends(id, Err("read: connection reset by peer"));
    assert_eq!(
        t.transmit_all(),
        [
            data_packet(1, 7),
            close_response(1, "read: connection reset by peer")
        ]
    );
}

#[test]
fn after_a_close_request_the_endpoint_gets_all_that_was_sent() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.data(1, 6);
    t.close(1);
    assert_eq!(t.close_reason(), CloseReason::FrontendClosed);
    assert!(!t.link.wants_endpoint_data(id));
    assert_eq!(t.output(id), Some(EndpointOutput::Write(bytes(6))));
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    assert_eq!(t.transmit_all(), [close_response(1, "")]);
    assert_eq!(t.link.stream_count(), 1, "the endpoint is still written to");
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn a_redundant_close_request_is_tolerated() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.endpoint_ends(id, Ok(()));
    t.close(1);
    assert_eq!(t.transmit_all(), [close_response(1, "")]);
    t.close(1);
    assert_eq!(
        t.transmit_all(),
        [close_response(1, "Unknown connectID")],
        "as the reference answers"
    );
}

#[test]
fn an_endpoint_that_takes_nothing_after_the_close_is_cut() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.data(1, 6);
    t.close(1);
    t.transmit_all();
    t.pass(29);
    assert!(!t.link.is_aborted(id));
    t.pass(1);
    assert!(t.link.is_aborted(id));
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
    assert_eq!(t.transmit(), None, "CLOSE_RSP left before");
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn an_endpoint_that_takes_its_time_after_the_close_gets_everything() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    for _ in 0..3 {
        t.data(1, 2000);
    }
    t.close(1);
    t.transmit_all();
    for _ in 0..3 {
        t.pass(20);
        assert_eq!(t.output(id), Some(EndpointOutput::Write(bytes(2000))));
    }
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
}

#[test]
fn a_paused_frontend_keeps_the_end_of_a_download() {
    let mut t = Fixture::with_credit(MuxConfig::default(), 10);
    let id = t.open(5);
    t.endpoint_sends(id, 20);
    t.endpoint_ends(id, Ok(()));
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert_eq!(t.transmit_all(), [data_packet(1, 10), out_of_credit(1)]);
    t.pass(3600);
    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(1),
        bytes: 10,
    });
    assert_eq!(
        t.transmit_all(),
        [data_packet(1, 10), close_response(1, "")]
    );
    assert!(t.link.is_empty());
}

#[test]
fn a_download_that_nobody_takes_after_the_close_request_is_cut() {
    let mut t = Fixture::with_credit(MuxConfig::default(), 10);
    let id = t.open(5);
    t.endpoint_sends(id, 20);
    t.endpoint_ends(id, Ok(()));
    t.transmit_all();
    t.pass(3600);
    t.close(1);
    t.pass(29);
    // Asking again is no progress.
    t.close(1);
    t.pass(1);
    assert_eq!(
        t.transmit_all(),
        [close_response(1, "close was not answered in time")]
    );
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn an_endpoint_that_takes_no_more_may_still_be_read() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.data(1, 6);
    t.link
        .handle_endpoint_write_failed(t.now, id, "write: broken pipe".to_owned());
    t.data(1, 6);
    assert_eq!(t.output(id), None);
    t.endpoint_sends(id, 7);
    assert_eq!(t.transmit_all(), [data_packet(1, 7)]);
}

#[test]
fn an_endpoint_task_that_goes_on_its_own_ends_the_stream_with_an_error() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.endpoint_goes(id);
    assert_eq!(t.close_reason(), CloseReason::AgentGaveUp);
    assert_eq!(
        t.transmit_all(),
        [close_response(1, "agent gave the connection up")]
    );
    assert!(t.link.is_empty());
}

// ---- the server ----

#[test]
fn draining_is_announced_ahead_of_data() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.endpoint_sends(id, 7);
    t.link.drain();
    assert_eq!(t.transmit(), Some(Packet::Drain));
    t.dial(6);
}

#[test]
fn a_server_that_drains_is_told_of_once_and_only_where_that_was_agreed() {
    let mut t = Fixture::plain();
    t.packet(Packet::Drain);
    assert_eq!(t.events(), []);
    let agreed = Negotiated {
        drain: true,
        ..Negotiated::default()
    };
    let mut t = Fixture::new(MuxConfig::default(), agreed);
    t.packet(Packet::Drain);
    t.packet(Packet::Drain);
    assert_eq!(t.events(), [LinkEvent::ServerDraining]);
}

#[test]
fn when_the_server_is_lost_dials_stop_and_endpoints_are_cut() {
    let mut t = Fixture::plain();
    let (open, dialling) = (t.open(5), t.dial(6));
    t.data(1, 6);
    t.link.handle_down(t.now);
    let events = t.events();
    assert!(matches!(
        &events[..],
        [
            LinkEvent::DialAbandoned { stream },
            LinkEvent::Closed { stream: closed, reason: CloseReason::TunnelLost, .. },
            LinkEvent::Down,
        ] if *stream == dialling && *closed == open
    ));
    assert_eq!(t.output(open), Some(EndpointOutput::Abort));
    assert!(!t.dialled(dialling, Ok(())));
    t.endpoint_goes(open);
    assert!(t.link.is_empty() && !t.link.has_transmit());
}

#[test]
fn what_was_sent_before_an_orderly_close_survives_the_loss_of_the_server() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.data(1, 6);
    t.close(1);
    t.link.handle_down(t.now);
    assert_eq!(t.output(id), Some(EndpointOutput::Write(bytes(6))));
    assert_eq!(t.output(id), Some(EndpointOutput::Close));
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn a_closing_endpoint_is_waited_for_in_bounded_time_when_the_server_is_lost() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.data(1, 6);
    t.endpoint_ends(id, Ok(()));
    t.link.handle_down(t.now);
    t.pass(30);
    assert_eq!(t.output(id), Some(EndpointOutput::Abort));
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}

#[test]
fn a_link_that_is_down_takes_nothing_more() {
    let mut t = Fixture::plain();
    let id = t.open(5);
    t.link.handle_down(t.now);
    t.link.handle_down(t.now);
    assert_eq!(t.events().len(), 2);
    t.packet(dial_request(6));
    t.data(9, 5);
    t.endpoint_sends(id, 7);
    t.endpoint_ends(id, Ok(()));
    t.link.drain();
    assert_eq!(t.events(), []);
    assert_eq!(t.transmit(), None);
    t.endpoint_goes(id);
    assert!(t.link.is_empty());
}
