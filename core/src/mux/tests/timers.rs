//! Wake-ups and deadlines.

use super::*;

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
