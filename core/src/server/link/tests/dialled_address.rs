//! Where the agent connected to (`dialled-address/1`).

use std::net::SocketAddr;

use super::*;

const AGREED: Negotiated = Negotiated {
    drain: false,
    half_close: false,
    reset: false,
    ..Negotiated::all(1000)
};

fn fixture(negotiated: Negotiated) -> Fixture {
    Fixture::new(LinkConfig::default(), negotiated)
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 96, 0, 1], 443))
}

fn answer(dial: DialId, connect_id: i64, error: &str) -> Packet {
    Packet::DialResponse {
        dial,
        connect_id: ConnectId::new(connect_id),
        error: error.to_owned(),
        address: Some(address()),
    }
}

#[test]
fn it_is_known_from_the_answer_until_the_stream_is_gone() {
    let mut t = fixture(AGREED);
    let (id, dial) = t.sent_dial();
    assert_eq!(t.link.dialled_address(id), None);
    t.packet(answer(dial, 1, ""));
    assert_eq!(t.link.dialled_address(id), Some(address()));
    // The end comes before the frontend has taken the answer, which it still does.
    t.close_response(1, "");
    assert_eq!(t.output(id), Some(StreamOutput::Dialled(conn(1))));
    assert_eq!(t.link.dialled_address(id), Some(address()));
    assert_eq!(t.output(id), Some(closed(CloseReason::EndpointClosed)));
    assert_eq!(t.link.dialled_address(id), None);
    assert!(t.link.is_empty());
}

#[test]
fn it_outlives_the_transport() {
    let mut t = fixture(AGREED);
    let (id, dial) = t.sent_dial();
    t.packet(answer(dial, 1, ""));
    t.link.handle_lost(t.now);
    assert_eq!(t.link.dialled_address(id), Some(address()));
    assert_eq!(t.link.handle_resumed(t.now, 1), Ok(1));
    assert_eq!(t.link.dialled_address(id), Some(address()));
}

#[test]
fn it_is_not_taken_where_it_was_not_agreed_on() {
    let mut t = fixture(Negotiated {
        dialled_address: false,
        ..AGREED
    });
    let (id, dial) = t.sent_dial();
    t.packet(answer(dial, 1, ""));
    assert_eq!(t.output(id), Some(StreamOutput::Dialled(conn(1))));
    assert_eq!(t.link.dialled_address(id), None);
}

#[test]
fn only_a_good_answer_has_one() {
    let mut t = fixture(AGREED);
    let streams: Vec<_> = [(1, "refused"), (0, "")]
        .into_iter()
        .map(|(connect_id, error)| {
            let (id, dial) = t.sent_dial();
            t.packet(answer(dial, connect_id, error));
            id
        })
        .collect();
    for id in streams {
        assert_eq!(t.link.dialled_address(id), None);
        assert!(matches!(t.output(id), Some(StreamOutput::DialFailed(_))));
    }
}

#[test]
fn a_second_answer_changes_nothing() {
    let mut t = fixture(AGREED);
    let (id, dial) = t.sent_dial();
    t.answer(dial, 1);
    t.packet(answer(dial, 1, ""));
    assert_eq!(t.link.dialled_address(id), None);
}
