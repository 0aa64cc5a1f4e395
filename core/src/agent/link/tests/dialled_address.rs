//! The server is told where a connection leads to (`dialled-address/1`).

use std::net::SocketAddr;

use super::*;

const AGREED: Negotiated = Negotiated {
    drain: false,
    half_close: false,
    reset: false,
    ..Negotiated::all(1000)
};

fn fixture(negotiated: Negotiated) -> Fixture {
    Fixture::new(MuxConfig::default(), negotiated)
}

fn connect(t: &mut Fixture, dial: i64, address: Option<SocketAddr>) {
    let id = t.dial(dial);
    assert!(t.link.handle_dialled(t.now, id, Ok(address)));
    t.events();
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 96, 0, 1], 443))
}

fn answer_with_address(dial: i64, connect_id: i64) -> Packet {
    Packet::DialResponse {
        dial: DialId(dial),
        connect_id: ConnectId::new(connect_id),
        error: String::new(),
        address: Some(address()),
    }
}

#[test]
fn a_good_answer_tells_it() {
    let mut t = fixture(AGREED);
    connect(&mut t, 1, Some(address()));
    assert_eq!(t.transmit(), Some(answer_with_address(1, 1)));
}

#[test]
fn nothing_is_told_of_a_connection_without_an_address() {
    let mut t = fixture(AGREED);
    connect(&mut t, 1, None);
    assert_eq!(t.transmit(), Some(good_answer(1, 1)));
}

#[test]
fn a_server_that_did_not_agree_is_not_told() {
    let mut t = fixture(Negotiated {
        dialled_address: false,
        ..AGREED
    });
    connect(&mut t, 1, Some(address()));
    assert_eq!(t.transmit(), Some(good_answer(1, 1)));
}

#[test]
fn an_answer_that_was_lost_tells_it_again() {
    let mut t = fixture(AGREED);
    connect(&mut t, 1, Some(address()));
    assert_eq!(t.transmit(), Some(answer_with_address(1, 1)));
    t.link.handle_lost(t.now);
    assert_eq!(t.link.handle_resumed(t.now, 0), Ok(()));
    let ack = Packet::Ack { received: 1 };
    assert_eq!(t.transmit(), Some(ack));
    assert_eq!(t.transmit(), Some(answer_with_address(1, 1)));
}
