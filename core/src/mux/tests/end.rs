//! The end of the tunnel.

use super::*;

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
