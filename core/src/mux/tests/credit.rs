//! Credit that the peer grants.

use super::*;

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
fn what_waits_and_for_whom_is_told() {
    let mut t = Fixture::with_credit(config(), 100);
    let (stalled, moving) = (t.open(1), t.open(2));
    t.push(stalled, 300);
    t.push(moving, 50);
    t.receive(2, 70);
    t.transmit_data();
    let load = LinkLoad {
        streams: 2,
        outgoing_bytes: 200,
        incoming_bytes: 70,
        stalled_streams: 1,
        ..LinkLoad::default()
    };
    assert_eq!(t.mux.load(), load);

    t.mux.receive_credit(conn(1), 1000);
    assert_eq!(t.mux.load().stalled_streams, 0, "it only has to be sent");
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
