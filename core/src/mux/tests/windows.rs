//! Credit for the peer.

use super::*;

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
