//! What the reference's own tests assert, as far as it concerns the machines of the core.

use std::time::Duration;

use bytes::Bytes;
use dialback_core::server::{DialFailure, LinkEvent};
use dialback_core::{ConnectId, DialId, LinkId, Packet, PacketKind};
use dialback_harness::{Behaviour, Connect, DialOutcome, PipeEnd, Setup, Triad};

const ENDPOINT: &str = "10.0.0.1:80";
const A_SECOND: Duration = Duration::from_secs(1);
const MEBIBYTE: usize = 1024 * 1024;

fn silent() -> Behaviour {
    Behaviour {
        dial: DialOutcome::Ignore,
        ..Behaviour::default()
    }
}

fn data(connect_id: i64) -> Packet {
    Packet::Data {
        connect_id: ConnectId::new(connect_id),
        data: Bytes::from_static(b"data"),
    }
}

fn close_request(connect_id: i64) -> Packet {
    Packet::CloseRequest {
        connect_id: ConnectId::new(connect_id),
    }
}

fn close_response(connect_id: i64, error: &str) -> Packet {
    Packet::CloseResponse {
        connect_id: ConnectId::new(connect_id),
        error: error.to_owned(),
    }
}

fn failures(t: &mut Triad, link: LinkId) -> Vec<DialFailure> {
    let events = t.tunnel(link).server.events.iter();
    events
        .filter_map(|event| match event {
            LinkEvent::DialFailed(failure) => Some(*failure),
            LinkEvent::DialStarted
            | LinkEvent::DialEnded
            | LinkEvent::Opened { .. }
            | LinkEvent::Closed { .. }
            | LinkEvent::Draining
            | LinkEvent::Suspended
            | LinkEvent::Resumed
            | LinkEvent::ResumptionConfirmed { .. }
            | LinkEvent::Silent
            | LinkEvent::Broken(_)
            | LinkEvent::Down(_)
            | LinkEvent::Retired => None,
        })
        .collect()
}

// ---- the server in front of a gRPC client ----

#[test]
fn data_before_any_dial_is_refused() {
    let mut t = Setup::default().start_with_agent();
    let grpc = t.open_grpc();
    t[grpc].send(data(1));
    t.run_now();
    assert_eq!(
        t[grpc].received(),
        [close_response(1, "backend not initialized")]
    );
}

#[test]
fn a_stream_that_ends_with_its_dial_pending_gives_it_up_at_the_agent() {
    let mut t = Setup::default().start_with_agent();
    t.endpoints.behave(ENDPOINT, silent());
    let grpc = t.open_grpc();
    t[grpc].dial(ENDPOINT);
    t.run_for(A_SECOND);
    t[grpc].send(data(1));
    t[grpc].send(close_request(1));
    t[grpc].finish();
    t.run_for(A_SECOND);
    let link = t.only_link();
    let down = t.tunnel(link).down();
    assert_eq!(down.count(PacketKind::DialRequest), 1);
    assert_eq!(down.count(PacketKind::CloseDial), 1);
    // Unlike the reference, nothing is relayed for an id that the stream does not own.
    assert_eq!(down.count(PacketKind::Data), 0);
    assert_eq!(down.count(PacketKind::CloseRequest), 0);
    assert_eq!(failures(&mut t, link), [DialFailure::FrontendClose]);
    t.run_until_idle();
    t.assert_nothing_left();
}

#[test]
fn two_ids_on_one_stream_end_both_and_a_pending_dial_is_given_up() {
    let mut t = Setup::default().start_with_agent();
    t.endpoints.behave("silent:80", silent());
    let grpc = t.open_grpc();
    for address in ["10.0.0.1:80", "10.0.0.2:80", "silent:80"] {
        t[grpc].dial(address);
    }
    t.run_for(A_SECOND);
    t[grpc].send(data(1));
    t[grpc].send(data(2));
    t.run_for(A_SECOND);
    let link = t.only_link();
    assert_eq!(t.tunnel(link).down().count(PacketKind::CloseRequest), 2);
    assert_eq!(t.tunnel(link).up().count(PacketKind::CloseResponse), 2);
    // At once, and again when the agent has closed them.
    for id in [1, 2] {
        let told = close_response(id, "mismatched connection IDs");
        let count = t[grpc].received().iter().filter(|p| **p == told).count();
        assert_eq!(count, 2);
    }
    t[grpc].finish();
    t.run_for(A_SECOND);
    assert_eq!(t.tunnel(link).down().count(PacketKind::CloseDial), 1);
    t.run_until_idle();
    t.assert_nothing_left();
}

#[test]
fn a_client_that_cancels_its_dial_is_counted_and_told_nothing() {
    let mut t = Setup::default().start_with_agent();
    t.endpoints.behave(ENDPOINT, silent());
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t.run_for(A_SECOND);
    t[grpc].cancel(dial);
    t.run_for(A_SECOND);
    let link = t.only_link();
    assert_eq!(failures(&mut t, link), [DialFailure::FrontendClose]);
    assert_eq!(t.tunnel(link).down().count(PacketKind::CloseDial), 1);
    assert_eq!(t[grpc].received(), []);
}

#[test]
fn a_refused_dial_is_counted_as_an_error_response() {
    let mut t = Setup::default().start_with_agent();
    t.endpoints.behave(
        ENDPOINT,
        Behaviour {
            dial: DialOutcome::Refuse("dial tcp 10.0.0.1:80: i/o timeout".to_owned()),
            ..Behaviour::default()
        },
    );
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t.run_for(A_SECOND);
    let link = t.only_link();
    assert_eq!(failures(&mut t, link), [DialFailure::ErrorResponse]);
    assert_eq!(
        t[grpc].answers(dial),
        [Err("dial tcp 10.0.0.1:80: i/o timeout".to_owned())]
    );
}

#[test]
fn a_frontend_whose_queue_is_full_is_not_read_and_loses_nothing() {
    let mut t = Setup::flow_controlled().start_with_agent();
    t.endpoints.behave(
        ENDPOINT,
        Behaviour {
            reading: false,
            ..Behaviour::default()
        },
    );
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t[grpc].write(dial, &vec![7; 4 * MEBIBYTE]);
    t[grpc].close(dial);
    t.run_for(A_SECOND);
    assert!(!t[grpc].is_flushed(), "the client is held up");
    t.endpoints.at(ENDPOINT).read(true);
    t.run_until_idle();
    assert_eq!(t.endpoints.at(ENDPOINT).received().len(), 4 * MEBIBYTE);
    assert_eq!(t[grpc].closes(dial), [""]);
    t.assert_nothing_left();
}

// ---- the agent ----

#[test]
fn the_answer_echoes_the_dial_id_and_ids_count_from_one() {
    let mut t = Setup::default().start_with_agent();
    let grpc = t.open_grpc();
    for dial in [-7, i64::MAX, 0] {
        t[grpc].send(Packet::DialRequest {
            dial: DialId(dial),
            protocol: "tcp".to_owned(),
            address: ENDPOINT.to_owned(),
        });
    }
    t.run_for(A_SECOND);
    let answers: Vec<_> = [(-7, 1), (i64::MAX, 2), (0, 3)]
        .map(|(dial, connect_id)| Packet::DialResponse {
            dial: DialId(dial),
            connect_id: ConnectId::new(connect_id),
            error: String::new(),
            address: None,
        })
        .into();
    assert_eq!(t[grpc].received(), answers);
}

#[test]
fn a_drain_leaves_while_the_tunnel_is_idle() {
    let mut t = Setup::default().start_with_agent();
    let link = t.only_link();
    t.run_for(A_SECOND);
    t.drain_agent(link);
    t.run_now();
    assert_eq!(t.tunnel(link).up().count(PacketKind::Drain), 1);
    assert!(t.tunnel(link).server.link.is_draining());
}

#[test]
fn an_answer_that_cannot_be_sent_leaves_no_connection() {
    let mut t = Setup::default().start_with_agent();
    let link = t.only_link();
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t.tunnel(link).up().pipe.stall(true);
    t.run_for(A_SECOND);
    assert_eq!(t.endpoints.count(ENDPOINT), 1);
    t.lose_tunnel(link);
    t.run_until_idle();
    assert_eq!(t.endpoints.at(ENDPOINT).saw_end(), Some(PipeEnd::Reset));
    assert!(matches!(t[grpc].answers(dial)[..], [Err(_)]));
    t.assert_nothing_left();
}

#[test]
fn the_loss_of_the_agent_ends_an_idle_connection_at_once() {
    let mut t = Setup::default().start_with_agent();
    let connect = t.open_connect(ENDPOINT);
    t.run_for(Duration::from_secs(3600));
    let link = t.only_link();
    t.lose_tunnel(link);
    t.run_now();
    assert!(t[connect].ended().is_some());
}

// ---- volume ----

/// As many clients, each on a connection of its own to an endpoint of its own.
fn clients(t: &mut Triad, count: usize) -> Vec<(Connect, String)> {
    (0..count)
        .map(|index| {
            let address = format!("endpoint-{index}:80");
            (t.open_connect(&address), address)
        })
        .collect()
}

#[test]
fn ten_large_chunks_in_one_response() {
    for setup in [Setup::flow_controlled(), Setup::default()] {
        let mut t = setup.start_with_agent();
        let connect = t.open_connect(ENDPOINT);
        t.run_for(A_SECOND);
        for chunk in 0..10 {
            t.endpoints.at(ENDPOINT).send(&vec![chunk; 2 * MEBIBYTE]);
            t.run_for(A_SECOND);
        }
        let received = t[connect].received();
        assert_eq!(received.len(), 20 * MEBIBYTE);
        assert!(received.is_sorted());
    }
}

#[test]
fn ten_large_responses_at_once() {
    for setup in [Setup::flow_controlled(), Setup::default()] {
        let mut t = setup.start_with_agent();
        let clients = clients(&mut t, 10);
        t.run_for(A_SECOND);
        for (byte, (_, address)) in (0..).zip(&clients) {
            t.endpoints.at(address).send(&vec![byte; 4 * MEBIBYTE]);
            t.endpoints.at(address).finish();
        }
        t.run_until_idle();
        for (byte, (connect, _)) in (0..).zip(&clients) {
            let received = t[*connect].received();
            assert_eq!(received.len(), 4 * MEBIBYTE);
            assert!(received.iter().all(|other| *other == byte));
            assert_eq!(t[*connect].ended(), Some(PipeEnd::Finished));
        }
        t.assert_nothing_left();
    }
}

#[test]
fn a_hundred_requests_at_once_over_two_agents() {
    let mut t = Setup::flow_controlled().start();
    let links = [t.connect_agent("a"), t.connect_agent("b")];
    let echo = Behaviour {
        echo: true,
        ..Behaviour::default()
    };
    for index in 0..100 {
        t.endpoints
            .behave(&format!("endpoint-{index}:80"), echo.clone());
    }
    let clients = clients(&mut t, 100);
    for (byte, (connect, _)) in (0..).zip(&clients) {
        t[*connect].write(&[byte; 10_000]);
    }
    t.run_for(A_SECOND);
    for (byte, (connect, _)) in (0..).zip(&clients) {
        assert_eq!(t[*connect].received(), [byte; 10_000]);
        t[*connect].close();
    }
    for link in links {
        let dials = t.tunnel(link).down().count(PacketKind::DialRequest);
        assert!(dials > 20, "{link} served {dials} of 100");
    }
    t.run_until_idle();
    t.assert_nothing_left();
}

#[test]
fn fifty_cancelled_requests_leave_no_endpoint_connection() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let clients = clients(&mut t, 50);
    for (connect, _) in &clients {
        t[*connect].write(&[7; 10_000]);
    }
    t.run_for(A_SECOND);
    for (connect, address) in &clients {
        t.endpoints.at(address).send(&[8; 100_000]);
        t.reset_connect(*connect);
    }
    t.run_until_idle();
    for (_, address) in &clients {
        assert!(t.endpoints.at(address).saw_end().is_some());
    }
    t.assert_nothing_left();
}
