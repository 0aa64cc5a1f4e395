#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect fails it"
)]

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

// ---- towards the tunnel ----

#[test]
fn a_chunk_of_the_packet_limit_leaves_whole() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 100);
    assert_eq!(t.transmit_all(), [(1, 100)]);
}

#[test]
fn a_chunk_above_the_packet_limit_is_split() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 201);
    assert_eq!(t.transmit_all(), [(1, 100), (1, 100), (1, 1)]);
}

#[test]
fn small_writes_that_wait_leave_in_one_packet() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    for _ in 0..30 {
        t.push(id, 3);
    }
    assert_eq!(t.transmit_all(), [(1, 90)]);
}

#[test]
fn bytes_leave_in_order_whatever_their_chunks() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    let sent: Vec<u8> = (0..=255).cycle().take(5000).collect();
    for chunk in sent.chunks(617) {
        t.mux.push(id, Bytes::copy_from_slice(chunk));
    }
    let left: Vec<u8> = std::iter::from_fn(|| t.transmit())
        .flat_map(|packet| {
            let Packet::Data { data, .. } = packet else {
                panic!("only DATA was expected, not {packet:?}");
            };
            data.to_vec()
        })
        .collect();
    assert_eq!(left, sent);
}

#[test]
fn empty_writes_never_leave() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 0);
    assert!(!t.mux.has_transmit(true));
    assert_eq!(t.transmit(), None);
}

#[test]
fn streams_take_turns_by_bytes_however_large_their_packets() {
    let mut t = Fixture::plain(MuxConfig {
        max_data_bytes: 2000,
        send_buffer_bytes: MEBIBYTE,
        ..config()
    });
    let (large, small) = (t.open(1), t.open(2));
    let turn = |t: &mut Fixture| {
        let mut sent = [0, 0];
        for _ in 0..600 {
            // The sources of both have always more.
            if t.mux.stream(large).unwrap().send.queued_bytes() == 0 {
                t.push(large, 2000);
            }
            if t.mux.stream(small).unwrap().send.queued_bytes() == 0 {
                t.push(small, 1100);
                t.push(small, 1100);
            }
            let Some(Packet::Data { connect_id, data }) = t.transmit() else {
                panic!("both have something to send");
            };
            sent[usize::from(connect_id == ConnectId::new(2))] += data.len();
        }
        sent
    };
    let [large, small] = turn(&mut t);
    assert!(large.abs_diff(small) <= 8000, "{large} and {small}");
}

#[test]
fn the_first_bytes_of_a_quiet_stream_overtake_bulk_but_not_for_ever() {
    let mut t = Fixture::plain(MuxConfig {
        send_buffer_bytes: MEBIBYTE,
        ..config()
    });
    let bulk = [t.open(1), t.open(2)];
    for id in bulk {
        t.push(id, 10_000);
    }
    for _ in 0..10 {
        t.transmit();
    }
    let quiet = t.open(3);
    t.push(quiet, 500);
    let next: Vec<_> = (0..40).map(|_| t.transmit()).collect();
    let ids = next.iter().map(|packet| match packet {
        Some(Packet::Data { connect_id, .. }) => ConnectId::wire(*connect_id),
        other => panic!("{other:?}"),
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!(ids[0], 3, "its first bytes come at once");
    assert!(
        ids[..8].iter().any(|id| *id != 3),
        "the others still move: {ids:?}"
    );
}

#[test]
fn packets_without_bytes_take_no_turns_for_nothing() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    for _ in 0..100 {
        t.push(id, 1);
        assert_eq!(t.transmit_all(), [(1, 1)]);
        assert!(!t.mux.has_transmit(true));
    }
}

#[test]
fn packets_about_streams_overtake_data() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 10);
    t.mux.reply_to_unknown(close(9));
    t.mux.send_control(Packet::Drain);
    assert_eq!(t.transmit(), Some(Packet::Drain));
    assert_eq!(t.transmit(), Some(close(9)));
    assert_eq!(t.transmit_all(), [(1, 10)]);
}

#[test]
fn the_end_leaves_behind_all_data_and_names_its_stream() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 150);
    t.mux.finish(id, close(1));
    for length in [100, 50] {
        let outgoing = t.mux.poll_transmit(t.epoch, true).unwrap();
        assert_eq!(outgoing.ended, None);
        assert!(matches!(outgoing.packet, Packet::Data { data, .. } if data.len() == length));
    }
    let outgoing = t.mux.poll_transmit(t.epoch, true).unwrap();
    assert_eq!(
        (outgoing.packet, outgoing.ended),
        (close(1), Some(Ended::Stream(id)))
    );
    assert!(t.mux.stream(id).unwrap().send.is_closed());
    assert_eq!(t.transmit(), None);
}

#[test]
fn nothing_is_accepted_behind_the_end_and_the_first_end_wins() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.mux.finish(id, close(1));
    t.push(id, 10);
    t.mux.finish(id, Packet::Drain);
    assert!(!t.mux.wants_push(id));
    assert_eq!(t.transmit(), Some(close(1)));
    assert_eq!(t.transmit(), None);
}

#[test]
fn the_end_of_the_bytes_may_be_followed_by_the_end_of_the_stream() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    let end = Packet::CloseWrite {
        connect_id: ConnectId::new(1),
    };
    t.push(id, 10);
    t.mux.finish_writing(id, end.clone());
    t.push(id, 10);
    assert_eq!(t.transmit_all_until_end(), (10, Ended::Writing(id)));
    t.mux.finish(id, close(1));
    let last = t.mux.poll_transmit(t.epoch, true).unwrap();
    assert_eq!(
        (last.packet, last.ended),
        (close(1), Some(Ended::Stream(id)))
    );

    // One that has not left gives way to the end of the stream, or becomes it.
    let (second, third) = (t.open(2), t.open(3));
    t.mux.finish_writing(second, end.clone());
    t.mux.finish(second, close(2));
    assert_eq!(t.transmit(), Some(close(2)));
    t.mux.finish_writing(third, end.clone());
    t.mux.seal(third);
    let last = t.mux.poll_transmit(t.epoch, true).unwrap();
    assert_eq!((last.packet, last.ended), (end, Some(Ended::Stream(third))));
    assert_eq!(t.transmit(), None);
}

#[test]
fn a_half_closed_without_a_word_sends_nothing_more() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 10);
    t.mux.finish(id, close(1));
    t.mux.close_outgoing(id);
    assert_eq!(t.transmit(), None);
    assert_eq!(t.held_bytes(), 0);
}

#[test]
fn a_source_is_paused_at_the_bound_and_woken_at_half_of_it() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 999);
    assert!(t.mux.wants_push(id));
    t.push(id, 1);
    assert!(!t.mux.wants_push(id));

    for _ in 0..4 {
        t.transmit();
    }
    assert!(!t.mux.wants_push(id), "600 bytes wait");
    assert_eq!(t.wakes(), []);
    t.transmit();
    assert!(t.mux.wants_push(id), "500 bytes wait");
    assert_eq!(t.wakes(), [id]);
}

#[test]
fn a_flood_of_tiny_writes_costs_hardly_more_than_its_bytes() {
    let mut t = Fixture::plain(MuxConfig {
        send_buffer_bytes: MEBIBYTE,
        max_data_bytes: MEBIBYTE,
        ..config()
    });
    let id = t.open(1);
    while t.mux.wants_push(id) {
        t.push(id, 1);
    }
    // Joined chunks, not a million of them.
    let packets = t.transmit_all();
    assert_eq!(
        packets.iter().map(|(_, length)| length).sum::<usize>(),
        MEBIBYTE
    );
    assert!(packets.len() <= 64, "{} packets", packets.len());
}

#[test]
fn a_packet_retracted_in_time_never_leaves() {
    let mut t = Fixture::plain(config());
    t.mux.send_control(close(1));
    t.mux.send_control(close(2));
    assert!(t.mux.retract_control(|packet| *packet == close(1)));
    assert!(!t.mux.retract_control(|packet| *packet == close(1)));
    assert_eq!(t.transmit(), Some(close(2)));
    assert_eq!(t.transmit(), None);
}

#[test]
fn replies_to_unknown_ids_are_bounded_until_they_leave() {
    let mut t = Fixture::plain(config());
    t.mux.send_control(Packet::Drain);
    for id in 1..=5 {
        t.mux.reply_to_unknown(close(id));
    }
    assert_eq!(t.transmit(), Some(Packet::Drain));
    assert_eq!(t.transmit(), Some(close(1)));
    t.mux.reply_to_unknown(close(6));
    for id in [2, 3, 6] {
        assert_eq!(t.transmit(), Some(close(id)));
    }
    assert_eq!(t.transmit(), None);
}

// ---- credit of the peer ----

#[test]
fn no_more_leaves_than_the_peer_granted() {
    let mut t = Fixture::with_credit(config(), 150);
    let id = t.open(1);
    t.push(id, 400);
    assert_eq!(t.transmit_data(), [(1, 100), (1, 50)]);
    assert!(!t.mux.has_transmit(true));

    assert_eq!(t.mux.receive_credit(conn(1), 30), Received::Accepted);
    assert_eq!(t.transmit_data(), [(1, 30)]);
}

#[test]
fn a_peer_is_told_once_behind_the_data_that_its_credit_has_run_out() {
    let mut t = Fixture::with_credit(config(), 50);
    let id = t.open(1);
    t.push(id, 50);
    assert_eq!(t.transmit_all(), [(1, 50)], "nothing more waits");
    t.push(id, 200);
    assert_eq!(t.transmit(), None);
    t.mux.receive_credit(conn(1), 20);
    assert!(matches!(t.transmit(), Some(Packet::Data { .. })));
    assert_eq!(t.transmit(), Some(window(1, 0)));
    assert_eq!(t.transmit(), None);
}

#[test]
fn a_stream_without_credit_keeps_no_other_waiting() {
    let mut t = Fixture::with_credit(config(), 100);
    let (spent, fresh) = (t.open(1), t.open(2));
    t.push(spent, 300);
    t.push(fresh, 50);
    assert_eq!(t.transmit_data(), [(1, 100), (2, 50)]);
}

#[test]
fn the_end_needs_no_credit_but_waits_for_data_that_does() {
    let mut t = Fixture::with_credit(config(), 10);
    let (empty, waiting) = (t.open(1), t.open(2));
    t.mux.finish(empty, close(1));
    t.push(waiting, 11);
    t.mux.finish(waiting, close(2));
    assert_eq!(t.transmit(), Some(close(1)));
    assert_eq!(t.transmit_data(), [(2, 10)]);
    t.mux.receive_credit(conn(2), 1);
    assert!(matches!(t.transmit(), Some(Packet::Data { data, .. }) if data.len() == 1));
    assert_eq!(t.transmit(), Some(close(2)));
}

#[test]
fn credit_up_to_the_largest_window_is_taken() {
    let mut t = Fixture::with_credit(config(), 1);
    t.open(1);
    let most = i64::MAX as u64 - 1;
    assert_eq!(t.mux.receive_credit(conn(1), most), Received::Accepted);
}

#[test]
fn credit_beyond_the_largest_window_is_a_violation() {
    let mut t = Fixture::with_credit(config(), 1);
    let id = t.open(1);
    let over = i64::MAX as u64;
    assert_eq!(t.mux.receive_credit(conn(1), over), Received::Violation(id));
    assert_eq!(
        t.mux.receive_credit(conn(1), u64::MAX),
        Received::Violation(id)
    );
}

#[test]
fn credit_from_a_plain_peer_means_nothing() {
    let mut t = Fixture::plain(config());
    t.open(1);
    assert_eq!(t.mux.receive_credit(conn(1), u64::MAX), Received::Accepted);
    assert_eq!(t.mux.receive_credit(conn(2), 1), Received::Unknown);
}

// ---- credit for the peer ----

#[test]
fn a_peer_may_use_its_whole_window() {
    let mut t = Fixture::with_credit(config(), 0);
    t.open(1);
    assert_eq!(t.receive(1, 600), Received::Accepted);
    assert_eq!(t.receive(1, 400), Received::Accepted);
}

#[test]
fn a_peer_that_exceeds_its_window_by_a_byte_is_a_violator() {
    let mut t = Fixture::with_credit(config(), 0);
    let id = t.open(1);
    assert_eq!(t.receive(1, 1000), Received::Accepted);
    assert_eq!(t.receive(1, 1), Received::Violation(id));
}

#[test]
fn the_window_counts_bytes_however_many_packets_they_come_in() {
    let mut t = Fixture::with_credit(
        MuxConfig {
            receive_window_bytes: MEBIBYTE as u64,
            receive_buffer_bytes: MEBIBYTE,
            ..config()
        },
        0,
    );
    let id = t.open(1);
    for _ in 0..MEBIBYTE {
        assert_eq!(t.receive(1, 1), Received::Accepted);
    }
    assert!(t.mux.wants_read());
    assert_eq!(t.take_all(id), MEBIBYTE);
}

#[test]
fn credit_of_a_small_window_returns_by_quarters() {
    let mut t = Fixture::with_credit(config(), 0);
    let id = t.open(1);
    t.receive(1, 249);
    assert_eq!(t.take_all(id), 249);
    assert_eq!(t.transmit(), None);

    t.receive(1, 1);
    assert_eq!(t.take_all(id), 1);
    assert_eq!(t.transmit(), Some(window(1, 250)));
}

#[test]
fn credit_of_a_large_window_returns_by_eighths() {
    let large = 8 * MEBIBYTE;
    let mut t = Fixture::with_credit(
        MuxConfig {
            receive_window_bytes: large as u64,
            ..config()
        },
        0,
    );
    let id = t.open(1);
    t.receive(1, MEBIBYTE - 1);
    t.receive(1, 2000);
    assert_eq!(t.take(id), Some(MEBIBYTE - 1));
    assert_eq!(t.transmit(), None);
    assert_eq!(t.take(id), Some(2000));
    assert_eq!(t.transmit(), Some(window(1, MEBIBYTE as u64 + 1999)));
}

fn growing(memory: MemoryBudget) -> MuxConfig {
    MuxConfig {
        max_receive_window_bytes: 6000,
        memory,
        ..config()
    }
}

#[test]
fn a_window_that_holds_its_stream_back_doubles_up_to_the_most() {
    let memory = MemoryBudget::new(MEBIBYTE);
    let mut t = Fixture::with_credit(growing(memory.clone()), 0);
    let id = t.open(1);
    // The peer uses each grant up before the next reaches it; the reader keeps up.
    let mut granted = 1000;
    let mut windows = Vec::new();
    for _ in 0..6 {
        for _ in 0..4 {
            t.receive(1, granted / 4);
            t.take_all(id);
        }
        t.mux.receive_credit(conn(1), 0);
        let told = std::iter::from_fn(|| t.transmit()).map(|packet| match packet {
            Packet::WindowUpdate { bytes, .. } => usize::try_from(bytes).unwrap(),
            other => panic!("{other:?}"),
        });
        granted = told.sum();
        windows.push(granted);
    }
    assert_eq!(windows, [2000, 4000, 6000, 6000, 6000, 6000]);
    assert_eq!(memory.used_bytes(), 5000, "what it grew by is set aside");
    t.mux.remove(id);
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn a_window_does_not_grow_for_a_slow_reader() {
    let mut t = Fixture::with_credit(growing(MemoryBudget::new(MEBIBYTE)), 0);
    let id = t.open(1);
    t.receive(1, 1000);
    t.mux.receive_credit(conn(1), 0);
    assert_eq!(t.take_all(id), 1000);
    assert_eq!(t.transmit(), Some(window(1, 1000)));
}

#[test]
fn a_window_does_not_grow_beyond_the_memory_budget_and_shrinks_at_its_end() {
    let memory = MemoryBudget::new(2200);
    let mut t = Fixture::with_credit(growing(memory.clone()), 0);
    let (first, second) = (t.open(1), t.open(2));
    for id in [first, second] {
        let connect_id = if id == first { 1 } else { 2 };
        for _ in 0..4 {
            t.receive(connect_id, 250);
            t.take_all(id);
        }
        t.mux.receive_credit(conn(connect_id), 0);
    }
    assert_eq!(memory.used_bytes(), 1000, "a link sets at most half aside");
    assert_eq!(t.transmit(), Some(window(1, 2000)));
    assert_eq!(t.transmit(), Some(window(2, 1000)));

    // Another link uses the rest up.
    let mut other = crate::memory::LinkMemory::new(memory.clone());
    other.grow(2200);
    for _ in 0..4 {
        t.receive(1, 500);
        t.take_all(first);
    }
    assert_eq!(
        t.transmit(),
        Some(window(1, 1000)),
        "the window is back at its first size"
    );
    assert_eq!(memory.used_bytes(), 2200);
}

#[test]
fn short_of_memory_a_source_is_read_piece_by_piece() {
    let memory = MemoryBudget::new(500);
    let mut t = Fixture::plain(MuxConfig {
        memory: memory.clone(),
        ..config()
    });
    let (held, id) = (t.open(1), t.open(2));
    t.receive(1, 500);
    assert!(t.mux.wants_push(id), "nothing of it waits yet");
    t.push(id, 10);
    assert!(!t.mux.wants_push(id));
    assert_eq!(t.transmit_all(), [(2, 10)]);
    assert!(t.mux.wants_push(id));
    assert!(t.wakes().contains(&id));

    t.take_all(held);
    t.push(id, 10);
    assert!(t.mux.wants_push(id), "there is memory again");
    t.mux.shut();
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn credit_that_waits_for_the_transport_grows_in_one_packet() {
    let mut t = Fixture::with_credit(config(), 0);
    let id = t.open(1);
    for _ in 0..1000 {
        assert_eq!(t.receive(1, 500), Received::Accepted);
        assert_eq!(t.take_all(id), 500);
    }
    assert_eq!(t.transmit(), Some(window(1, 500_000)));
    assert_eq!(t.transmit(), None);
}

#[test]
fn an_ended_stream_grants_nothing() {
    let mut t = Fixture::with_credit(config(), 0);
    let id = t.open(1);
    t.receive(1, 1000);
    t.mux.release_connect_id(id);
    assert_eq!(t.take_all(id), 1000);
    assert_eq!(t.transmit(), None);
}

#[test]
fn a_grant_of_a_stream_that_ends_before_it_leaves_is_dropped() {
    let mut t = Fixture::with_credit(config(), 0);
    let id = t.open(1);
    t.receive(1, 1000);
    t.take_all(id);
    t.mux.release_connect_id(id);
    assert_eq!(t.transmit(), None);
}

#[test]
fn discarded_bytes_count_as_taken() {
    let mut t = Fixture::with_credit(config(), 0);
    let id = t.open(1);
    t.receive(1, 400);
    t.mux.discard_received(id);
    assert_eq!(t.held_bytes(), 0);
    assert_eq!(t.transmit(), Some(window(1, 400)));
    for _ in 0..10 {
        assert_eq!(t.receive(1, 1000), Received::Accepted);
        assert_eq!(t.take(id), None);
        assert_eq!(t.transmit(), Some(window(1, 1000)));
    }
    assert_eq!(t.receive(1, 1001), Received::Violation(id));
}

// ---- a reader without credit ----

#[test]
fn a_reader_just_below_its_bound_lets_the_tunnel_be_read() {
    let mut t = Fixture::plain(config());
    t.open(1);
    t.receive(1, 999);
    assert!(t.mux.wants_read());
    assert_eq!(t.mux.poll_timeout(), None);
}

#[test]
fn a_reader_at_its_bound_stops_the_tunnel_until_it_reads() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.receive(1, 1000);
    assert!(!t.mux.wants_read());
    assert_eq!(t.mux.poll_timeout(), Some(t.at(10)));

    assert_eq!(t.take_all(id), 1000);
    assert!(t.mux.wants_read());
    assert_eq!(t.mux.poll_timeout(), None);
}

#[test]
fn one_reader_below_its_bound_does_not_make_up_for_another_at_it() {
    let mut t = Fixture::plain(config());
    let (first, second) = (t.open(1), t.open(2));
    t.receive(1, 1000);
    t.receive(2, 1000);
    t.take_all(first);
    assert!(!t.mux.wants_read());
    t.take_all(second);
    assert!(t.mux.wants_read());
}

#[test]
fn a_full_reader_that_takes_something_gets_its_time_anew() {
    let mut t = Fixture::plain(MuxConfig {
        receive_buffer_bytes: 10_000,
        ..config()
    });
    let id = t.open(1);
    for _ in 0..3 {
        t.receive(1, 5_000);
    }
    assert_eq!(t.mux.poll_timeout(), Some(t.at(10)));
    assert!(t.mux.take(t.at(9), id).is_some());
    assert!(!t.mux.wants_read(), "10,000 bytes wait");
    assert_eq!(t.mux.poll_expired(t.at(18)), None);
    let expired = t.mux.poll_expired(t.at(19));
    assert_eq!(expired, Some((id, StreamTimer::SlowReader)));
    assert_eq!(t.mux.poll_timeout(), None);
}

#[test]
fn a_reader_that_discards_is_never_at_its_bound() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.receive(1, 1000);
    t.mux.discard_received(id);
    assert!(t.mux.wants_read());
    assert_eq!(t.mux.poll_timeout(), None);
    t.receive(1, 5000);
    assert!(t.mux.wants_read());
}

#[test]
fn a_stream_that_is_removed_holds_nobody_up() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.receive(1, 1000);
    assert_eq!(t.mux.remove(id), Some(()));
    assert!(t.mux.wants_read() && t.mux.is_empty());
}

// ---- ids ----

#[test]
fn as_many_streams_as_allowed_are_carried_and_no_more() {
    let mut t = Fixture::plain(config());
    let ids: Vec<_> = (0..4).map(|_| t.mux.insert(()).unwrap()).collect();
    assert_eq!(t.mux.insert(()), None);
    t.mux.remove(ids[2]);
    assert!(t.mux.insert(()).is_some());
}

#[test]
fn no_stream_is_added_while_too_many_packets_about_streams_wait() {
    let mut t = Fixture::plain(config());
    for id in 1..=4 {
        t.mux.send_control(close(id));
    }
    assert_eq!(t.mux.insert(()), None);
    t.transmit();
    assert!(t.mux.insert(()).is_some());
}

#[test]
fn the_id_of_a_removed_stream_names_no_later_one() {
    let mut t = Fixture::plain(config());
    let first = t.open(1);
    t.push(first, 10);
    t.mux.wake(first);
    t.mux.remove(first);
    let second = t.open(1);
    assert_ne!(first, second);
    assert_eq!(t.wakes(), []);
    t.push(first, 10);
    t.mux.finish(first, close(1));
    assert_eq!(t.mux.remove(first), None);
    assert_eq!(t.transmit(), None, "what was queued went with the stream");
    assert_eq!(t.mux.len(), 1);
}

#[test]
fn a_connection_id_is_used_once_at_a_time() {
    let mut t = Fixture::plain(config());
    let first = t.open(1);
    let second = t.mux.insert(()).unwrap();
    assert!(!t.mux.establish(second, conn(1)));
    t.mux.release_connect_id(first);
    assert!(t.mux.establish(second, conn(1)));
    // The first one's late release is not the second's.
    t.mux.release_connect_id(first);
    assert_eq!(t.mux.by_connect_id(conn(1)), Some(second));
}

#[test]
fn data_for_an_unknown_id_is_told_apart() {
    let mut t = Fixture::plain(config());
    assert_eq!(t.receive(1, 1), Received::Unknown);
}

// ---- wake-ups and timers ----

#[test]
fn a_reader_is_woken_once_for_what_comes_before_it_looks() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.receive(1, 10);
    t.receive(1, 10);
    assert_eq!(t.wakes(), [id]);
    t.receive(1, 10);
    assert_eq!(t.wakes(), [], "it has not taken what it was woken for");
    t.take_all(id);
    t.receive(1, 10);
    assert_eq!(t.wakes(), [id]);
}

#[test]
fn deadlines_pass_in_their_order_and_once() {
    let mut t = Fixture::plain(config());
    let (first, second) = (t.open(1), t.open(2));
    t.mux.set_deadline(first, Some(t.at(5)));
    t.mux.set_deadline(second, Some(t.at(3)));
    assert_eq!(t.mux.poll_timeout(), Some(t.at(3)));
    assert_eq!(t.mux.poll_expired(t.at(2)), None);
    assert_eq!(
        t.mux.poll_expired(t.at(9)),
        Some((second, StreamTimer::Role))
    );
    assert_eq!(
        t.mux.poll_expired(t.at(9)),
        Some((first, StreamTimer::Role))
    );
    assert_eq!(t.mux.poll_expired(t.at(9)), None);
}

#[test]
fn a_moved_deadline_leaves_nothing_behind() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.mux.set_deadline(id, Some(t.at(5)));
    t.mux.set_deadline(id, Some(t.at(7)));
    assert_eq!(t.mux.poll_timeout(), Some(t.at(7)));
    t.mux.set_deadline(id, None);
    assert_eq!(t.mux.poll_timeout(), None);
}

#[test]
fn bytes_that_move_either_way_put_off_the_end_of_patience() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 150);
    t.mux.await_progress(t.epoch, id, Duration::from_secs(30));
    assert_eq!(t.mux.poll_timeout(), Some(t.at(30)));

    t.mux.poll_transmit(t.at(1), true);
    assert_eq!(t.mux.poll_timeout(), Some(t.at(31)));
    t.mux.receive(t.at(2), conn(1), bytes(1));
    assert_eq!(t.mux.poll_timeout(), Some(t.at(32)));
    t.mux.take(t.at(3), id);
    assert_eq!(t.mux.poll_timeout(), Some(t.at(33)));

    t.mux.receive(t.at(4), conn(1), Bytes::new());
    t.mux.take(t.at(4), id);
    assert_eq!(t.mux.poll_timeout(), Some(t.at(33)), "no byte moved since");
}

#[test]
fn bytes_that_move_do_not_put_off_a_plain_deadline() {
    let mut t = Fixture::plain(config());
    let id = t.open(1);
    t.push(id, 10);
    t.mux.set_deadline(id, Some(t.at(5)));
    t.mux.poll_transmit(t.at(1), true);
    assert_eq!(t.mux.poll_timeout(), Some(t.at(5)));
}

// ---- the end of the tunnel ----

#[test]
fn without_a_transport_nothing_waits_for_it_and_what_came_can_be_read() {
    let mut t = Fixture::with_credit(config(), 10);
    let id = t.open(1);
    t.receive(1, 500);
    t.push(id, 100);
    t.mux.send_control(Packet::Drain);
    t.mux.reply_to_unknown(close(9));
    t.mux.shut();
    assert!(!t.mux.has_transmit(true));
    assert_eq!(t.transmit(), None);
    assert!(!t.mux.wants_push(id));
    assert_eq!(t.take_all(id), 500);
    assert_eq!(t.transmit(), None);
    t.mux.remove(id);
    assert!(t.mux.is_empty());
}

#[test]
fn a_link_is_not_empty_while_a_packet_waits() {
    let mut t = Fixture::plain(config());
    t.mux.send_control(Packet::Drain);
    assert!(!t.mux.is_empty());
    t.transmit();
    assert!(t.mux.is_empty());
}
