#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod any_sequence;

use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const DIAL: DialId = DialId(42);
const CONN: Option<ConnectId> = ConnectId::new(7);
const OTHER: Option<ConnectId> = ConnectId::new(8);

/// A tunnel under virtual time, between a scripted server and a scripted owner.
struct World {
    tunnel: Tunnel,
    now: Instant,
}

impl World {
    #[expect(
        clippy::disallowed_methods,
        reason = "the epoch of a test; all else is an offset"
    )]
    fn new(config: TunnelConfig) -> Self {
        let now = Instant::now();
        let tunnel = Tunnel::new(config, DIAL, "tcp", "10.0.0.1:443", now).unwrap();
        Self { tunnel, now }
    }

    fn dialing() -> Self {
        let mut world = Self::new(TunnelConfig::default());
        assert_eq!(world.sent(), [dial_request()]);
        world
    }

    fn open() -> Self {
        Self::open_with(TunnelConfig::default())
    }

    fn open_with(config: TunnelConfig) -> Self {
        let mut world = Self::new(config);
        assert_eq!(world.sent(), [dial_request()]);
        world.tunnel.handle_packet(answer(DIAL, CONN, ""));
        let dialled = TunnelEvent::Dialled(Ok(CONN.unwrap()));
        assert_eq!(world.events(), [dialled]);
        world
    }

    fn sent(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.tunnel.poll_transmit(self.now)).collect()
    }

    fn events(&mut self) -> Vec<TunnelEvent> {
        std::iter::from_fn(|| self.tunnel.poll_event()).collect()
    }

    fn read(&mut self) -> Option<ReadOutput> {
        self.tunnel.poll_read(usize::MAX)
    }

    fn write(&mut self, data: &'static [u8]) -> Result<usize, ConnectionError> {
        self.tunnel.write(&mut Bytes::from_static(data))
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.tunnel.handle_timeout(self.now);
    }

    /// The dial has failed with `error`, which is all there is to tell.
    fn assert_dial_failed(&mut self, error: DialError) {
        assert_eq!(self.events(), [TunnelEvent::Dialled(Err(error))]);
        let end = Err(ConnectionError::NotEstablished);
        assert_eq!(self.tunnel.ended(), Some(&end));
        assert!(!self.tunnel.wants_read() && !self.tunnel.wants_write());
    }
}

fn dial_request() -> Packet {
    Packet::DialRequest {
        dial: DIAL,
        protocol: "tcp".to_owned(),
        address: "10.0.0.1:443".to_owned(),
    }
}

fn answer(dial: DialId, connect_id: Option<ConnectId>, error: &str) -> Packet {
    Packet::DialResponse {
        dial,
        connect_id,
        error: error.to_owned(),
        address: None,
    }
}

fn data(connect_id: Option<ConnectId>, bytes: &'static [u8]) -> Packet {
    Packet::Data {
        connect_id,
        data: Bytes::from_static(bytes),
    }
}

fn close_request(connect_id: Option<ConnectId>) -> Packet {
    Packet::CloseRequest { connect_id }
}

fn close_response(connect_id: Option<ConnectId>, error: &str) -> Packet {
    Packet::CloseResponse {
        connect_id,
        error: error.to_owned(),
    }
}

fn bytes(bytes: &'static [u8]) -> Option<ReadOutput> {
    Some(ReadOutput::Data(Bytes::from_static(bytes)))
}

// ---- the dial ----

#[test]
fn data_right_behind_the_answer_is_delivered() {
    let mut world = World::dialing();
    world.tunnel.handle_packet(answer(DIAL, CONN, ""));
    world.tunnel.handle_packet(data(CONN, b"220 banner\r\n"));
    world.tunnel.handle_packet(close_response(CONN, ""));
    assert_eq!(
        world.events(),
        [
            TunnelEvent::Dialled(Ok(CONN.unwrap())),
            TunnelEvent::Ended(Ok(())),
        ]
    );
    assert_eq!(world.read(), bytes(b"220 banner\r\n"));
    assert_eq!(world.read(), Some(ReadOutput::Eof));
    assert_eq!(world.sent(), []);
}

#[test]
fn a_refused_dial_gives_the_words_of_the_agent() {
    let mut world = World::dialing();
    let words = "dial tcp 10.0.0.1:443: connect: connection refused";
    world.tunnel.handle_packet(answer(DIAL, None, words));
    world.assert_dial_failed(DialError::Refused(words.to_owned()));
    assert!(world.tunnel.is_finished());
}

#[test]
fn an_error_wins_over_a_connection_id() {
    let mut world = World::dialing();
    world.tunnel.handle_packet(answer(DIAL, CONN, "no"));
    world.assert_dial_failed(DialError::Refused("no".to_owned()));
}

#[test]
fn a_success_without_a_connection_id_is_an_error() {
    let mut world = World::dialing();
    world.tunnel.handle_packet(answer(DIAL, None, ""));
    world.assert_dial_failed(DialError::MissingConnectId);
}

#[test]
fn a_closed_dial_fails() {
    let mut world = World::dialing();
    world
        .tunnel
        .handle_packet(Packet::CloseDial { dial: DialId(1) });
    world.assert_dial_failed(DialError::Closed);
    assert_eq!(world.sent(), []);
}

#[test]
fn the_answer_to_another_dial_ends_the_tunnel() {
    let mut world = World::dialing();
    let stray = DialId(1);
    world.tunnel.handle_packet(answer(stray, CONN, ""));
    let loss = TunnelLoss::UnexpectedAnswer(stray);
    world.assert_dial_failed(DialError::TunnelClosed(loss));

    let mut world = World::open();
    world.tunnel.handle_packet(answer(DIAL, OTHER, ""));
    let loss = TunnelLoss::UnexpectedAnswer(DIAL);
    let end = Err(ConnectionError::TunnelClosed(loss));
    assert_eq!(world.events(), [TunnelEvent::Ended(end)]);
}

#[test]
fn a_dial_nobody_answers_times_out_once_and_tells_the_server() {
    let mut world = World::dialing();
    assert_eq!(world.tunnel.poll_timeout(), Some(world.now + 30 * SECOND));
    world.pass(30 * SECOND - Duration::from_nanos(1));
    assert_eq!(world.events(), []);
    world.pass(Duration::from_nanos(1));
    world.assert_dial_failed(DialError::TimedOut);
    assert!(!world.tunnel.is_finished());
    assert_eq!(world.sent(), [Packet::CloseDial { dial: DIAL }]);
    assert!(world.tunnel.is_finished());

    // The answer comes too late.
    world.tunnel.handle_packet(answer(DIAL, CONN, ""));
    assert_eq!((world.events(), world.sent()), (vec![], vec![]));
    assert_eq!(world.tunnel.poll_timeout(), None);
}

#[test]
fn a_cancelled_dial_tells_the_server() {
    let mut world = World::dialing();
    world.tunnel.cancel(world.now);
    world.assert_dial_failed(DialError::Cancelled);
    world.tunnel.cancel(world.now);
    world.tunnel.close(world.now);
    assert_eq!(world.events(), []);
    assert_eq!(world.sent(), [Packet::CloseDial { dial: DIAL }]);
}

#[test]
fn a_dial_cancelled_before_it_was_sent_leaves_no_trace() {
    let mut world = World::new(TunnelConfig::default());
    world.tunnel.close(world.now);
    world.assert_dial_failed(DialError::Cancelled);
    assert!(world.tunnel.is_finished());
    assert_eq!(world.sent(), []);
}

#[test]
fn telling_the_server_is_given_up_when_the_transport_takes_nothing() {
    let mut world = World::dialing();
    world.tunnel.cancel(world.now);
    assert!(!world.tunnel.is_finished());
    world.pass(10 * SECOND);
    assert!(world.tunnel.is_finished());
    assert_eq!(world.sent(), []);
}

#[test]
fn a_stream_that_ends_leaves_nobody_to_tell() {
    let mut world = World::dialing();
    world.tunnel.cancel(world.now);
    world.tunnel.handle_stream_end(Err("reset".to_owned()));
    assert!(world.tunnel.is_finished());
    assert_eq!(world.sent(), []);
}

#[test]
fn cancelling_an_answered_dial_changes_nothing() {
    let mut world = World::open();
    world.tunnel.cancel(world.now);
    assert!(world.tunnel.ended().is_none());
    assert_eq!(world.tunnel.poll_timeout(), None);
}

#[test]
fn a_stream_that_ends_fails_the_dial() {
    let mut world = World::dialing();
    world.tunnel.handle_stream_end(Ok(()));
    world.assert_dial_failed(DialError::TunnelClosed(TunnelLoss::StreamEnded));
    world.tunnel.handle_stream_end(Ok(()));
    assert_eq!(world.events(), []);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the epoch of a test; nothing follows it"
)]
fn other_protocols_are_refused_at_once() {
    for protocol in ["", "udp", "tcp4", "TCP"] {
        let config = TunnelConfig::default();
        let refused = Tunnel::new(config, DIAL, protocol, "host:1", Instant::now());
        assert_eq!(refused.err(), Some(DialError::ProtocolNotSupported));
    }
}

// ---- reading ----

#[test]
fn a_small_buffer_reads_piece_by_piece() {
    let mut world = World::open();
    world.tunnel.handle_packet(data(CONN, b"abc"));
    world.tunnel.handle_packet(data(CONN, b"de"));
    assert_eq!(world.tunnel.poll_read(0), None);
    let piece = |bytes| Some(ReadOutput::Data(Bytes::from_static(bytes)));
    assert_eq!(world.tunnel.poll_read(2), piece(b"ab"));
    assert_eq!(world.tunnel.poll_read(9), piece(b"cde"));
    assert_eq!(world.read(), None);
}

#[test]
fn empty_data_is_no_end() {
    let mut world = World::open();
    world.tunnel.handle_packet(data(CONN, b""));
    assert_eq!(world.read(), None);
    world.tunnel.handle_packet(data(CONN, b"x"));
    assert_eq!(world.read(), bytes(b"x"));
}

#[test]
fn a_slow_reader_stops_the_stream_at_the_bound() {
    let config = TunnelConfig {
        read_buffer_bytes: 4,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    world.tunnel.handle_packet(data(CONN, b"abc"));
    assert!(world.tunnel.wants_read());
    world.tunnel.handle_packet(data(CONN, b"d"));
    assert!(!world.tunnel.wants_read());
    world.tunnel.poll_read(1);
    assert!(world.tunnel.wants_read());
}

#[test]
fn an_owner_who_stops_reading_does_not_stop_the_stream() {
    let config = TunnelConfig {
        read_buffer_bytes: 4,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    world.tunnel.handle_packet(data(CONN, b"abcd"));
    world.tunnel.stop_reading();
    assert!(world.tunnel.wants_read());
    world.tunnel.handle_packet(data(CONN, b"efgh"));
    assert!(world.tunnel.wants_read());
    assert_eq!(world.read(), None);
    world.tunnel.handle_packet(close_response(CONN, ""));
    assert_eq!(world.read(), Some(ReadOutput::Eof));
}

#[test]
fn an_abnormal_end_is_an_error_behind_the_data() {
    type End = fn(&mut Tunnel);
    let ends: [(End, ConnectionError); 4] = [
        (
            |tunnel| tunnel.handle_stream_end(Ok(())),
            ConnectionError::TunnelClosed(TunnelLoss::StreamEnded),
        ),
        (
            |tunnel| tunnel.handle_stream_end(Err("reset".to_owned())),
            ConnectionError::TunnelClosed(TunnelLoss::StreamFailed("reset".to_owned())),
        ),
        (
            |tunnel| tunnel.handle_packet(close_response(CONN, "agent lost")),
            ConnectionError::Failed("agent lost".to_owned()),
        ),
        (
            |tunnel| tunnel.handle_packet(Packet::CloseDial { dial: DIAL }),
            ConnectionError::TunnelClosed(TunnelLoss::DialClosed),
        ),
    ];
    for (end, error) in ends {
        let mut world = World::open();
        world.tunnel.handle_packet(data(CONN, b"half"));
        end(&mut world.tunnel);
        assert_eq!(world.events(), [TunnelEvent::Ended(Err(error.clone()))]);
        assert_eq!(world.read(), bytes(b"half"));
        let failed = Some(ReadOutput::Failed(error.clone()));
        assert_eq!(world.read(), failed);
        assert_eq!(world.read(), failed);
        assert_eq!(world.write(b"x"), Err(error));
        assert!(world.tunnel.is_finished());
    }
}

#[test]
fn unknown_ids_are_closed_and_zero_is_ignored() {
    let mut world = World::open();
    world.tunnel.handle_packet(data(OTHER, b"stray"));
    world.tunnel.handle_packet(data(None, b"nobody's"));
    world.tunnel.handle_packet(close_response(OTHER, ""));
    world.tunnel.handle_packet(close_response(None, ""));
    assert_eq!(world.sent(), [close_request(OTHER)]);
    assert_eq!(world.read(), None);
    assert!(world.tunnel.ended().is_none());
}

#[test]
fn data_that_overtakes_the_answer_does_not_close_the_connection() {
    let mut world = World::dialing();
    world.tunnel.handle_packet(data(CONN, b"early"));
    world.tunnel.handle_packet(data(OTHER, b"stray"));
    world.tunnel.handle_packet(answer(DIAL, CONN, ""));
    assert_eq!(world.sent(), [close_request(OTHER)]);
}

#[test]
fn a_close_without_an_id_does_not_end_a_dial() {
    let mut world = World::dialing();
    world.tunnel.handle_packet(close_response(None, ""));
    world.tunnel.handle_packet(close_response(CONN, ""));
    assert_eq!(world.events(), []);
}

#[test]
fn a_flood_of_unknown_ids_is_answered_within_a_bound() {
    let mut world = World::open();
    for _ in 0..10 {
        for _ in 0..100 {
            world.tunnel.handle_packet(data(OTHER, b"x"));
        }
        assert_eq!(world.sent().len(), MAX_CONTROL_PACKETS);
    }
}

#[test]
fn packets_no_server_sends_are_ignored() {
    let mut world = World::open();
    for packet in [
        dial_request(),
        close_request(CONN),
        Packet::Drain,
        Packet::WindowUpdate {
            connect_id: CONN,
            bytes: 1,
        },
    ] {
        world.tunnel.handle_packet(packet);
    }
    assert_eq!((world.events(), world.sent()), (vec![], vec![]));
}

// ---- writing ----

#[test]
fn writes_are_split_to_the_largest_payload() {
    let config = TunnelConfig {
        max_data_bytes: 3,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    assert_eq!(world.write(b"abcdefgh"), Ok(8));
    assert_eq!(world.tunnel.flushed(), Ok(false));
    let split = [data(CONN, b"abc"), data(CONN, b"def"), data(CONN, b"gh")];
    assert_eq!(world.sent(), split);
    assert_eq!(world.tunnel.flushed(), Ok(true));
}

#[test]
fn a_message_never_passes_the_limit_of_the_peers() {
    let config = TunnelConfig {
        max_data_bytes: usize::MAX,
        write_buffer_bytes: usize::MAX,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    let mut upload = Bytes::from(vec![0; 9 << 20]);
    assert_eq!(world.tunnel.write(&mut upload), Ok(9 << 20));
    let sizes: Vec<_> = world
        .sent()
        .into_iter()
        .map(|packet| {
            let Packet::Data { data, .. } = packet else {
                panic!("expected DATA, got {packet:?}");
            };
            data.len()
        })
        .collect();
    assert_eq!(sizes.len(), 3);
    assert!(sizes.iter().all(|size| *size <= (4 << 20) - 1024));
}

#[test]
fn the_write_queue_is_bounded() {
    let config = TunnelConfig {
        write_buffer_bytes: 4,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    let mut upload = Bytes::from_static(b"abcdef");
    assert_eq!(world.tunnel.write(&mut upload), Ok(4));
    assert_eq!(upload, "ef");
    assert!(!world.tunnel.wants_write());
    assert_eq!(world.tunnel.write(&mut upload), Ok(0));
    assert_eq!(world.sent(), [data(CONN, b"abcd")]);
    assert!(world.tunnel.wants_write());
    assert_eq!(world.tunnel.write(&mut upload), Ok(2));
    assert_eq!(world.sent(), [data(CONN, b"ef")]);
}

#[test]
fn nothing_is_written_before_the_dial_is_answered() {
    let mut world = World::dialing();
    assert!(!world.tunnel.wants_write());
    assert_eq!(world.write(b"early"), Ok(0));
    assert_eq!(world.sent(), []);
}

#[test]
fn an_empty_write_sends_nothing() {
    let mut world = World::open();
    assert_eq!(world.write(b""), Ok(0));
    assert_eq!(world.sent(), []);
}

#[test]
fn bytes_the_peer_did_not_wait_for_are_not_reported_as_sent() {
    let mut world = World::open();
    assert_eq!(world.write(b"too late"), Ok(8));
    world.tunnel.handle_packet(close_response(CONN, ""));
    assert_eq!(world.sent(), []);
    assert_eq!(world.tunnel.flushed(), Err(ConnectionError::Closed));
    assert_eq!(world.write(b"more"), Err(ConnectionError::Closed));
    assert_eq!(world.read(), Some(ReadOutput::Eof));
}

// ---- closing ----

#[test]
fn a_close_waits_for_what_was_written_and_for_the_answer() {
    let mut world = World::open();
    world.write(b"last words").unwrap();
    world.tunnel.close(world.now);
    assert_eq!(world.write(b"more"), Err(ConnectionError::Closed));
    assert_eq!(
        world.sent(),
        [data(CONN, b"last words"), close_request(CONN)]
    );
    assert_eq!(world.events(), []);
    // The endpoint's own last words precede the answer.
    world.tunnel.handle_packet(data(CONN, b"bye"));
    world.tunnel.handle_packet(close_response(CONN, ""));
    assert_eq!(world.events(), [TunnelEvent::Ended(Ok(()))]);
    assert_eq!(world.read(), bytes(b"bye"));
    assert_eq!(world.read(), Some(ReadOutput::Eof));
    world.tunnel.close(world.now);
    assert_eq!((world.events(), world.sent()), (vec![], vec![]));
}

#[test]
fn a_close_nobody_answers_times_out() {
    let mut world = World::open();
    world.tunnel.close(world.now);
    assert_eq!(world.sent(), [close_request(CONN)]);
    world.pass(10 * SECOND - Duration::from_nanos(1));
    assert_eq!(world.events(), []);
    // Closing again does not start the time anew.
    world.tunnel.close(world.now);
    world.pass(Duration::from_nanos(1));
    let end = Err(ConnectionError::CloseTimedOut);
    assert_eq!(world.events(), [TunnelEvent::Ended(end)]);
    assert!(world.tunnel.is_finished());
}

#[test]
fn a_close_behind_a_slow_upload_times_out_only_when_it_stalls() {
    let config = TunnelConfig {
        max_data_bytes: 1,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    world.write(b"abc").unwrap();
    world.tunnel.close(world.now);
    for expected in [
        data(CONN, b"a"),
        data(CONN, b"b"),
        data(CONN, b"c"),
        close_request(CONN),
    ] {
        world.pass(9 * SECOND);
        assert_eq!(world.tunnel.poll_transmit(world.now), Some(expected));
    }
    // From here on only the answer counts, not what else is sent.
    world.pass(9 * SECOND);
    world.tunnel.handle_packet(data(OTHER, b"x"));
    assert_eq!(world.sent(), [close_request(OTHER)]);
    assert_eq!(world.events(), []);
    world.pass(SECOND);
    let end = Err(ConnectionError::CloseTimedOut);
    assert_eq!(world.events(), [TunnelEvent::Ended(end)]);
}

#[test]
fn a_close_answered_with_an_error_reports_it() {
    let mut world = World::open();
    world.tunnel.close(world.now);
    world.sent();
    world
        .tunnel
        .handle_packet(close_response(CONN, "CLOSE_REQ to backend failed"));
    let error = ConnectionError::Failed("CLOSE_REQ to backend failed".to_owned());
    assert_eq!(world.events(), [TunnelEvent::Ended(Err(error))]);
}

#[test]
fn a_stream_that_ends_during_a_close_is_an_error() {
    let mut world = World::open();
    world.tunnel.close(world.now);
    world.sent();
    world.tunnel.handle_stream_end(Ok(()));
    let error = ConnectionError::TunnelClosed(TunnelLoss::StreamEnded);
    assert_eq!(world.events(), [TunnelEvent::Ended(Err(error))]);
}

#[test]
fn spans_beyond_time_itself_mean_never() {
    let config = TunnelConfig {
        dial_timeout: Duration::MAX,
        close_timeout: Duration::MAX,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    world.tunnel.close(world.now);
    assert_eq!(world.tunnel.poll_timeout(), None);
}

#[test]
fn bounds_of_zero_still_move_bytes() {
    let config = TunnelConfig {
        max_data_bytes: 0,
        read_buffer_bytes: 0,
        write_buffer_bytes: 0,
        ..TunnelConfig::default()
    };
    let mut world = World::open_with(config);
    assert!(world.tunnel.wants_read());
    assert_eq!(world.write(b"ab"), Ok(1));
    assert_eq!(world.sent(), [data(CONN, b"a")]);
}
