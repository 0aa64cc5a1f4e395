//! Readers towards a peer that knows no credit.

use super::*;

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
