#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use super::*;
use crate::Initiator;

/// A Proxy stream and a clock that the test moves.
struct Fixture {
    proxy: ProxyStream,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self::with(ProxyStreamConfig {
            first_data_hold: Duration::ZERO,
            ..ProxyStreamConfig::default()
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the one epoch of a test")]
    fn with(config: ProxyStreamConfig) -> Self {
        let now = Instant::now();
        Self {
            proxy: ProxyStream::new(now, config),
            now,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.proxy.handle_timeout(self.now);
    }

    fn packet(&mut self, packet: Packet) {
        self.proxy.handle_packet(self.now, packet);
    }

    fn dial(&mut self, dial: i64) {
        self.packet(Packet::DialRequest {
            dial: DialId(dial),
            protocol: "tcp".to_owned(),
            address: "10.0.0.1:443".to_owned(),
        });
    }

    fn routed(&mut self, dial: i64, routed: Result<StreamRef, DialError>) {
        self.proxy.handle_routed(self.now, DialId(dial), routed);
    }

    fn output(&mut self, at: StreamRef, output: StreamOutput) {
        self.proxy.handle_output(self.now, at, output);
    }

    /// A dial that a link has taken.
    fn routed_dial(&mut self, dial: i64) -> StreamRef {
        let at = stream(dial);
        self.dial(dial);
        assert!(matches!(
            self.actions()[..],
            [ProxyAction::Route { dial: routed, .. }] if routed == DialId(dial)
        ));
        self.routed(dial, Ok(at));
        at
    }

    /// An established connection whose answer has left.
    fn open(&mut self, dial: i64, connect_id: i64) -> StreamRef {
        let at = self.routed_dial(dial);
        self.output(at, StreamOutput::Dialled(conn(connect_id)));
        assert_eq!(self.transmit_all(), [answer(dial, connect_id, "")]);
        at
    }

    fn data(&mut self, connect_id: i64, data: &'static [u8]) {
        self.packet(data_packet(connect_id, data));
    }

    fn close(&mut self, connect_id: i64) {
        self.packet(Packet::CloseRequest {
            connect_id: ConnectId::new(connect_id),
        });
    }

    fn actions(&mut self) -> Vec<ProxyAction> {
        std::iter::from_fn(|| self.proxy.poll_action()).collect()
    }

    fn transmit_all(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.proxy.poll_transmit()).collect()
    }
}

fn conn(id: i64) -> ConnectId {
    ConnectId::new(id).unwrap()
}

/// The stream that a link gives to a dial.
fn stream(dial: i64) -> StreamRef {
    StreamRef {
        link: LinkId(1),
        stream: StreamId(u64::try_from(dial).unwrap()),
    }
}

fn data_packet(connect_id: i64, data: &'static [u8]) -> Packet {
    Packet::Data {
        connect_id: ConnectId::new(connect_id),
        data: Bytes::from_static(data),
    }
}

fn answer(dial: i64, connect_id: i64, error: &str) -> Packet {
    Packet::DialResponse {
        dial: DialId(dial),
        connect_id: ConnectId::new(connect_id),
        error: error.to_owned(),
        address: None,
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
fn a_dial_is_routed_and_answered_under_the_frontends_id() {
    let mut t = Fixture::new();
    t.dial(77);
    assert_eq!(
        t.actions(),
        [ProxyAction::Route {
            dial: DialId(77),
            protocol: "tcp".to_owned(),
            address: "10.0.0.1:443".to_owned(),
        }]
    );
    t.routed(77, Ok(stream(1)));
    t.output(stream(1), StreamOutput::Dialled(conn(5)));
    assert_eq!(t.transmit_all(), [answer(77, 5, "")]);
    assert_eq!(t.proxy.open_streams().collect::<Vec<_>>(), [stream(1)]);
}

#[test]
fn without_an_agent_the_stream_is_told_so_and_heeds_nothing_more() {
    let mut t = Fixture::new();
    t.dial(1);
    t.actions();
    t.routed(1, Err(DialError::NoAgent));
    assert_eq!(t.transmit_all(), [answer(1, 0, "No agent available")]);
    t.dial(2);
    t.data(1, b"x");
    assert_eq!(t.actions(), []);
    assert_eq!(t.transmit_all(), []);
}

#[test]
fn a_refused_dial_is_told_in_the_agents_words_and_another_may_follow() {
    let mut t = Fixture::new();
    let at = t.routed_dial(1);
    let refused = DialError::Refused("connection refused".to_owned());
    t.output(at, StreamOutput::DialFailed(refused));
    assert_eq!(t.transmit_all(), [answer(1, 0, "connection refused")]);
    t.open(1, 5);
}

#[test]
fn a_dial_that_the_agent_closed_is_closed_at_the_frontend() {
    let mut t = Fixture::new();
    let at = t.routed_dial(1);
    t.output(at, StreamOutput::DialFailed(DialError::ClosedByAgent));
    assert_eq!(t.transmit_all(), [Packet::CloseDial { dial: DialId(1) }]);
}

#[test]
fn a_pending_dial_can_be_given_up() {
    let mut t = Fixture::new();
    let at = t.routed_dial(1);
    t.packet(Packet::CloseDial { dial: DialId(1) });
    assert_eq!(
        t.actions(),
        [ProxyAction::Gone(at, CloseReason::FrontendClosed)]
    );
    t.output(at, StreamOutput::Dialled(conn(1)));
    assert_eq!(t.transmit_all(), [], "nobody waits for the answer");
}

#[test]
fn a_dial_given_up_while_it_is_routed_is_let_go_after() {
    let mut t = Fixture::new();
    t.dial(1);
    t.actions();
    t.packet(Packet::CloseDial { dial: DialId(1) });
    assert_eq!(t.actions(), []);
    t.routed(1, Ok(stream(1)));
    assert_eq!(
        t.actions(),
        [ProxyAction::Gone(stream(1), CloseReason::FrontendClosed)]
    );
}

#[test]
fn giving_up_an_established_dial_changes_nothing() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.packet(Packet::CloseDial { dial: DialId(1) });
    t.packet(Packet::CloseDial { dial: DialId(9) });
    assert_eq!(t.actions(), []);
    assert_eq!(t.proxy.open_streams().collect::<Vec<_>>(), [at]);
}

#[test]
fn a_pending_dial_is_not_replaced_by_another_of_its_id() {
    let mut t = Fixture::new();
    let at = t.routed_dial(1);
    t.dial(1);
    assert_eq!(t.actions(), []);
    assert!(matches!(
        &t.transmit_all()[..],
        [Packet::DialResponse { connect_id: None, error, .. }] if !error.is_empty()
    ));
    t.output(at, StreamOutput::Dialled(conn(5)));
    assert_eq!(t.transmit_all(), [answer(1, 5, "")]);
}

#[test]
fn as_many_dials_as_allowed_are_routed_and_no_more() {
    let mut t = Fixture::with(ProxyStreamConfig {
        max_dials: 2,
        ..ProxyStreamConfig::default()
    });
    for dial in 1..=3 {
        t.dial(dial);
    }
    assert_eq!(t.actions().len(), 2);
    assert!(matches!(
        &t.transmit_all()[..],
        [Packet::DialResponse { dial: DialId(3), error, .. }] if !error.is_empty()
    ));
}

#[test]
fn one_connection_id_of_two_agents_is_not_established_twice() {
    let mut t = Fixture::new();
    let first = t.open(1, 5);
    let second = t.routed_dial(2);
    t.output(second, StreamOutput::Dialled(conn(5)));
    assert!(matches!(
        &t.transmit_all()[..],
        [Packet::DialResponse { dial: DialId(2), connect_id: None, error, .. }] if !error.is_empty()
    ));
    assert_eq!(
        t.actions(),
        [ProxyAction::Gone(second, CloseReason::FrontendClosed)]
    );
    assert_eq!(t.proxy.open_streams().collect::<Vec<_>>(), [first]);
}

// ---- data ----

#[test]
fn data_goes_both_ways() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.data(5, b"up");
    assert_eq!(
        t.actions(),
        [ProxyAction::Data(at, Bytes::from_static(b"up"))]
    );
    t.output(at, StreamOutput::Data(Bytes::from_static(b"down")));
    assert_eq!(t.transmit_all(), [data_packet(5, b"down")]);
}

#[test]
fn empty_data_never_reaches_the_frontend() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.output(at, StreamOutput::Data(Bytes::new()));
    assert_eq!(t.transmit_all(), []);
}

#[test]
fn data_before_any_dial_is_refused_and_stops_the_stream() {
    let mut t = Fixture::new();
    t.data(5, b"x");
    assert_eq!(
        t.transmit_all(),
        [close_response(5, "backend not initialized")]
    );
    t.dial(1);
    assert_eq!(t.actions(), []);
}

#[test]
fn data_that_names_nothing_is_dropped() {
    let mut t = Fixture::new();
    t.open(1, 5);
    t.data(0, b"x");
    assert_eq!((t.actions(), t.transmit_all()), (vec![], vec![]));
}

#[test]
fn data_for_an_id_of_another_stream_goes_nowhere() {
    let mut t = Fixture::new();
    t.open(1, 5);
    t.data(6, b"x");
    assert_eq!(t.actions(), []);
    assert_eq!(
        t.transmit_all(),
        [close_response(6, "unrecognized connectID")]
    );
    t.data(5, b"x");
    assert_eq!(t.actions().len(), 1, "its own id still works");
}

#[test]
fn data_before_the_answer_to_the_dial_goes_nowhere() {
    let mut t = Fixture::new();
    t.routed_dial(1);
    t.data(5, b"x");
    assert_eq!(t.actions(), []);
    assert_eq!(
        t.transmit_all(),
        [close_response(5, "unrecognized connectID")]
    );
}

#[test]
fn data_that_crosses_the_end_of_its_connection_is_dropped() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.output(at, StreamOutput::Closed(CloseReason::EndpointClosed));
    t.transmit_all();
    t.data(5, b"x");
    assert_eq!((t.actions(), t.transmit_all()), (vec![], vec![]));
}

#[test]
fn two_ids_on_one_stream_close_both() {
    let mut t = Fixture::new();
    let (first, second) = (t.open(1, 5), t.open(2, 6));
    t.data(5, b"x");
    t.actions();
    t.data(6, b"x");
    assert_eq!(
        t.actions(),
        [
            ProxyAction::Close(second, CloseReason::MismatchedIds),
            ProxyAction::Close(first, CloseReason::MismatchedIds)
        ]
    );
    assert_eq!(
        t.transmit_all(),
        [
            close_response(6, "mismatched connection IDs"),
            close_response(5, "mismatched connection IDs")
        ]
    );
    t.data(5, b"x");
    assert_eq!(t.actions(), [], "nothing is heeded any more");
}

#[test]
fn an_id_that_is_not_the_first_closes_no_stranger() {
    let mut t = Fixture::new();
    let first = t.open(1, 5);
    t.data(5, b"x");
    t.actions();
    t.data(6, b"x");
    assert_eq!(
        t.actions(),
        [ProxyAction::Close(first, CloseReason::MismatchedIds)]
    );
}

// ---- closes ----

#[test]
fn a_close_waits_for_the_end_of_the_connection() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.close(5);
    assert_eq!(
        t.actions(),
        [ProxyAction::Close(at, CloseReason::FrontendClosed)]
    );
    t.output(at, StreamOutput::Data(Bytes::from_static(b"rest")));
    t.output(at, StreamOutput::Closed(CloseReason::FrontendClosed));
    assert_eq!(
        t.transmit_all(),
        [data_packet(5, b"rest"), close_response(5, "")]
    );
    assert_eq!(t.proxy.live_streams().count(), 0);
}

#[test]
fn after_a_close_nothing_is_heeded() {
    let mut t = Fixture::new();
    t.open(1, 5);
    t.close(5);
    t.actions();
    t.close(5);
    t.data(5, b"x");
    assert_eq!((t.actions(), t.transmit_all()), (vec![], vec![]));
}

#[test]
fn a_close_before_any_dial_is_refused_and_a_dial_may_follow() {
    let mut t = Fixture::new();
    t.close(5);
    assert_eq!(
        t.transmit_all(),
        [close_response(5, "backend uninitialized")]
    );
    t.open(1, 5);
}

#[test]
fn a_close_for_an_id_of_another_stream_goes_nowhere() {
    let mut t = Fixture::new();
    t.open(1, 5);
    t.close(6);
    assert_eq!(t.actions(), []);
    assert_eq!(t.transmit_all(), [close_response(6, "Unknown connectID")]);
}

#[test]
fn a_close_after_the_agent_was_lost_says_that_it_failed() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.output(at, StreamOutput::Closed(CloseReason::TunnelLost));
    assert_eq!(t.transmit_all(), [close_response(5, "tunnel lost")]);
    t.close(5);
    assert_eq!(
        t.transmit_all(),
        [close_response(5, "CLOSE_REQ to backend failed")]
    );
}

#[test]
fn an_abnormal_end_is_told_apart_from_an_orderly_one() {
    for (reason, error) in [
        (CloseReason::EndpointClosed, ""),
        (CloseReason::FrontendClosed, ""),
        (
            CloseReason::EndpointFailed("read: connection reset by peer".to_owned()),
            "read: connection reset by peer",
        ),
        (CloseReason::TunnelLost, "tunnel lost"),
        (
            CloseReason::SlowReader(Initiator::Server),
            "reader took nothing for the slow-stream timeout",
        ),
    ] {
        let mut t = Fixture::new();
        let at = t.open(1, 5);
        t.output(at, StreamOutput::Closed(reason));
        assert_eq!(t.transmit_all(), [close_response(5, error)]);
    }
}

#[test]
fn packets_of_no_frontend_are_ignored() {
    let mut t = Fixture::new();
    t.open(1, 5);
    t.packet(answer(1, 5, ""));
    t.packet(close_response(5, ""));
    t.packet(Packet::Drain);
    t.packet(Packet::WindowUpdate {
        connect_id: ConnectId::new(5),
        bytes: 1,
    });
    assert_eq!((t.actions(), t.transmit_all()), (vec![], vec![]));
}

#[test]
fn when_the_client_goes_all_that_it_has_is_given_up() {
    let mut t = Fixture::new();
    let (open, pending) = (t.open(1, 5), t.routed_dial(2));
    let ended = t.open(3, 6);
    t.output(ended, StreamOutput::Closed(CloseReason::EndpointClosed));
    t.proxy.handle_end(CloseReason::FrontendLost);
    assert_eq!(
        t.actions(),
        [
            ProxyAction::Gone(open, CloseReason::FrontendLost),
            ProxyAction::Gone(pending, CloseReason::FrontendLost)
        ]
    );
    assert_eq!(t.proxy.poll_timeout(), None);
    t.dial(9);
    assert_eq!(t.actions(), []);
}

// ---- room ----

#[test]
fn outputs_are_taken_one_by_one_as_they_leave() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    assert!(t.proxy.wants_output());
    t.output(at, StreamOutput::Data(Bytes::from_static(b"x")));
    assert!(t.proxy.has_transmit() && !t.proxy.wants_output());
    t.transmit_all();
    assert!(t.proxy.wants_output());
}

#[test]
fn a_frontend_that_does_not_read_its_replies_is_not_read() {
    let mut t = Fixture::new();
    t.open(1, 5);
    for _ in 0..MAX_WAITING_PACKETS {
        assert!(t.proxy.wants_read());
        t.data(6, b"x");
    }
    assert!(!t.proxy.wants_read());
    t.proxy.poll_transmit();
    assert!(t.proxy.wants_read());
}

// ---- the hold ----

const HOLD: Duration = Duration::from_millis(10);

#[test]
fn the_first_bytes_are_held_back_behind_the_answer() {
    let mut t = Fixture::with(ProxyStreamConfig::default());
    t.open(1, 5);
    assert!(!t.proxy.wants_output());
    assert_eq!(t.proxy.poll_timeout(), Some(t.now + HOLD));
    t.pass(HOLD - Duration::from_nanos(1));
    assert!(!t.proxy.wants_output());
    t.pass(Duration::from_nanos(1));
    assert!(t.proxy.wants_output());
    assert_eq!(t.proxy.poll_timeout(), None);
}

#[test]
fn the_clients_own_first_packet_ends_the_hold() {
    let mut t = Fixture::with(ProxyStreamConfig::default());
    t.open(1, 5);
    t.data(5, b"x");
    assert!(t.proxy.wants_output());
}

#[test]
fn no_hold_is_no_hold() {
    let mut t = Fixture::new();
    t.open(1, 5);
    assert!(t.proxy.wants_output());
}

// ---- idle streams ----

const IDLE: Duration = Duration::from_secs(60);
const LINGER: Duration = Duration::from_secs(10);

#[test]
fn a_stream_without_a_dial_is_ended() {
    let mut t = Fixture::new();
    t.pass(IDLE - Duration::from_secs(1));
    assert_eq!(t.actions(), []);
    t.close(5);
    t.pass(Duration::from_secs(1));
    assert_eq!(t.actions(), [ProxyAction::Finish]);
    assert_eq!(t.proxy.poll_timeout(), None);
}

#[test]
fn a_stream_with_a_connection_is_kept_however_idle() {
    let mut t = Fixture::new();
    t.open(1, 5);
    assert_eq!(t.proxy.poll_timeout(), None);
    t.pass(IDLE * 1000);
    assert_eq!(t.actions(), []);
}

#[test]
fn a_stream_is_ended_some_time_after_its_last_connection() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.pass(IDLE * 2);
    t.output(at, StreamOutput::Closed(CloseReason::EndpointClosed));
    t.transmit_all();
    t.pass(LINGER - Duration::from_secs(1));
    assert_eq!(t.actions(), []);
    t.pass(Duration::from_secs(1));
    assert_eq!(t.actions(), [ProxyAction::Finish]);
}

/// Found by simulation: a frontend that took longer than that for what it had still to read missed the end.
#[test]
fn a_stream_is_not_ended_before_its_frontend_has_heard_of_the_end() {
    let mut t = Fixture::new();
    let at = t.open(1, 7);
    t.output(at, StreamOutput::Closed(CloseReason::EndpointClosed));
    t.pass(IDLE * 60);
    assert_eq!(t.actions(), []);
    assert_eq!(t.transmit_all(), [close_response(7, "")]);
    t.pass(LINGER);
    assert_eq!(t.actions(), [ProxyAction::Finish]);
    assert_eq!(t.proxy.poll_timeout(), None);
}

#[test]
fn a_stream_whose_only_dial_failed_is_ended_too() {
    let mut t = Fixture::new();
    t.dial(1);
    t.actions();
    t.routed(1, Err(DialError::NoAgent));
    t.pass(LINGER);
    assert_eq!(t.actions(), [ProxyAction::Finish]);
}

#[test]
fn a_dial_in_time_keeps_the_stream() {
    let mut t = Fixture::new();
    let at = t.open(1, 5);
    t.output(at, StreamOutput::Closed(CloseReason::EndpointClosed));
    t.transmit_all();
    t.pass(LINGER - Duration::from_secs(1));
    t.open(2, 6);
    t.pass(LINGER);
    assert_eq!(t.actions(), []);
}
