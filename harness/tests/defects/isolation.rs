//! D8 to D10: whose connection is whose.

use dialback_core::{ConnectId, DialId, Packet};
use dialback_harness::{Behaviour, DialOutcome, Grpc, Setup, Triad};

use crate::A_SECOND;

const FIRST: &str = "10.0.0.1:80";
const SECOND: &str = "10.0.0.2:80";

fn echo() -> Behaviour {
    Behaviour {
        echo: true,
        ..Behaviour::default()
    }
}

/// A frontend with an established connection, and its id on the wire.
fn connected(t: &mut Triad, address: &str) -> (Grpc, DialId, ConnectId) {
    let frontend = t.open_grpc();
    let dial = t[frontend].dial(address);
    t.run_for(A_SECOND);
    let connect_id = t[frontend]
        .connect_id(dial)
        .expect("the dial was answered with a connection");
    (frontend, dial, connect_id)
}

#[test]
fn d8_two_links_of_one_agent_id_never_cross() {
    let mut t = Setup::flow_controlled().start();
    let old = t.connect_agent_for("agent", "ipv4=10.0.0.1");
    t.endpoints.behave(FIRST, echo());
    let (first, first_dial, first_id) = connected(&mut t, FIRST);

    // The agent connects a second time under the same id, and counts its connections from 1 again.
    t.connect_agent_for("agent", "ipv4=10.0.0.2");
    t.endpoints.behave(SECOND, echo());
    let (second, second_dial, second_id) = connected(&mut t, SECOND);
    assert_eq!(first_id, second_id);

    t[first].write(first_dial, b"first");
    t[second].write(second_dial, b"second");
    t.run_for(A_SECOND);
    assert_eq!(t[first].data(first_dial), b"first");
    assert_eq!(t[second].data(second_dial), b"second");
    assert_eq!(t.endpoints.at(FIRST).received(), b"first");

    t.lose_tunnel(old);
    t.run_for(A_SECOND);
    assert_eq!(t[first].closes(first_dial), ["tunnel lost"]);
    t[second].write(second_dial, b" still");
    t.run_for(A_SECOND);
    assert_eq!(t[second].data(second_dial), b"second still");
}

#[test]
fn d8_the_end_of_the_newer_link_does_not_disturb_the_older() {
    let mut t = Setup::flow_controlled().start();
    t.connect_agent_for("agent", "ipv4=10.0.0.1");
    t.endpoints.behave(FIRST, echo());
    let (first, dial, _) = connected(&mut t, FIRST);
    let newer = t.connect_agent("agent");
    t.lose_tunnel(newer);
    t[first].write(dial, b"hello");
    t.run_for(A_SECOND);
    assert_eq!(t[first].data(dial), b"hello");
    assert_eq!(t[first].closes(dial), [""; 0]);
}

#[test]
fn d9_frontends_may_use_the_same_dial_id_at_the_same_time() {
    let mut t = Setup::flow_controlled().start();
    t.connect_agent_for("a", "ipv4=10.0.0.1");
    t.connect_agent_for("b", "ipv4=10.0.0.2");
    for address in [FIRST, SECOND] {
        t.endpoints.behave(
            address,
            Behaviour {
                dial: DialOutcome::AcceptAfter(A_SECOND / 2),
                ..echo()
            },
        );
    }
    let (first, second, third) = (t.open_grpc(), t.open_grpc(), t.open_grpc());
    let dials = [
        (first, t[first].dial(FIRST)),
        (second, t[second].dial(SECOND)),
        (third, t[third].dial(FIRST)),
    ];
    t.run_for(A_SECOND);
    for (frontend, dial) in dials {
        assert_eq!(dial, DialId(1), "all three chose the same");
        assert!(matches!(t[frontend].answers(dial)[..], [Ok(_)]));
    }
    for ((frontend, dial), word) in dials.into_iter().zip(["one", "two", "three"]) {
        t[frontend].write(dial, word.as_bytes());
    }
    t.run_for(A_SECOND);
    for ((frontend, dial), word) in dials.into_iter().zip(["one", "two", "three"]) {
        assert_eq!(t[frontend].data(dial), word.as_bytes());
    }
}

#[test]
fn d9_an_answer_from_another_agent_is_not_accepted() {
    let mut t = Setup::flow_controlled().start();
    t.connect_agent_for("a", "ipv4=10.0.0.1");
    let stranger = t.connect_agent("b");
    t.endpoints.behave(
        FIRST,
        Behaviour {
            dial: DialOutcome::AcceptAfter(A_SECOND),
            ..Behaviour::default()
        },
    );
    let frontend = t.open_grpc();
    let dial = t[frontend].dial(FIRST);
    t.run_now();
    // Every id that the first agent may have been given, from the stranger.
    for dial in 995..1005 {
        t.send_as_agent(
            stranger,
            Packet::DialResponse {
                dial: DialId(dial),
                connect_id: ConnectId::new(77),
                error: String::new(),
                address: None,
            },
        );
    }
    t.run_now();
    assert_eq!(t[frontend].answers(dial), []);
    t.run_for(A_SECOND);
    assert_eq!(
        t[frontend].answers(dial),
        [Ok(ConnectId::new(1).expect("one is an id"))]
    );
}

#[test]
fn d10_a_frontend_cannot_touch_another_frontends_connection() {
    let mut t = Setup::flow_controlled().start_with_agent();
    t.endpoints.behave(FIRST, echo());
    let (victim, victim_dial, stolen) = connected(&mut t, FIRST);

    let (thief, own_dial, own) = connected(&mut t, SECOND);
    assert_ne!(stolen, own);
    t[thief].send(Packet::Data {
        connect_id: Some(stolen),
        data: "injected".into(),
    });
    t.run_for(A_SECOND);
    t[thief].send(Packet::CloseRequest {
        connect_id: Some(stolen),
    });
    t.run_for(A_SECOND);

    t[victim].write(victim_dial, b"mine");
    t.run_for(A_SECOND);
    assert_eq!(t.endpoints.at(FIRST).received(), b"mine");
    assert_eq!(t[victim].data(victim_dial), b"mine");
    assert_eq!(t[victim].closes(victim_dial), [""; 0]);
    // The thief is told that there is no such connection, and has lost nothing of its own by the first try.
    assert_eq!(t[thief].closes(own_dial), [""; 0]);
    let refusals: Vec<_> = t[thief]
        .received()
        .iter()
        .filter(|packet| {
            matches!(packet, Packet::CloseResponse { connect_id, error }
                if *connect_id == Some(stolen) && !error.is_empty())
        })
        .collect();
    assert_eq!(refusals.len(), 2);
}

#[test]
fn d10_two_ids_on_one_stream_close_only_what_the_stream_owns() {
    let mut t = Setup::flow_controlled().start_with_agent();
    t.endpoints.behave(FIRST, echo());
    let (victim, victim_dial, stolen) = connected(&mut t, FIRST);
    let (thief, own_dial, _) = connected(&mut t, SECOND);
    t[thief].write(own_dial, b"x");
    t.run_for(A_SECOND);
    t[thief].send(Packet::Data {
        connect_id: Some(stolen),
        data: "injected".into(),
    });
    t.run_for(A_SECOND);
    assert!(
        t[thief]
            .closes(own_dial)
            .contains(&"mismatched connection IDs")
    );

    t[victim].write(victim_dial, b"mine");
    t.run_for(A_SECOND);
    assert_eq!(t[victim].data(victim_dial), b"mine");
}

#[test]
fn d10_an_agent_cannot_touch_another_agents_connection() {
    let mut t = Setup::flow_controlled().start();
    t.connect_agent_for("a", "ipv4=10.0.0.1");
    let stranger = t.connect_agent("b");
    t.endpoints.behave(FIRST, echo());
    let (frontend, dial, id) = connected(&mut t, FIRST);
    for packet in [
        Packet::Data {
            connect_id: Some(id),
            data: "injected".into(),
        },
        Packet::CloseResponse {
            connect_id: Some(id),
            error: String::new(),
        },
    ] {
        t.send_as_agent(stranger, packet);
    }
    t[frontend].write(dial, b"mine");
    t.run_for(A_SECOND);
    assert_eq!(t[frontend].data(dial), b"mine");
    assert_eq!(t[frontend].closes(dial), [""; 0]);
}
