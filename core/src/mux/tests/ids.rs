//! Ids of streams.

use super::*;

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
