//! D11, D17, D29, D37 to D39: input that makes no sense, the first bytes, counting, bounds, and the end of a link.

use std::time::Duration;

use bytes::Bytes;
use dialback_core::server::{DialError, DialFailure, LinkEvent, ProxyStreamConfig};
use dialback_core::wire::{Decoded, decode};
use dialback_core::{MuxConfig, Packet, PacketKind};
use dialback_harness::{Behaviour, DialOutcome, Setup, Triad};

use crate::A_SECOND;

const ENDPOINT: &str = "10.0.0.1:80";

#[test]
fn d11_a_known_type_without_its_payload_is_no_packet_and_no_crash() {
    for kind in PacketKind::ALL {
        // DRAIN carries nothing, so it is complete.
        if kind == PacketKind::Drain {
            continue;
        }
        let wire_type = u8::try_from(kind.wire_type()).expect("types are small numbers");
        let message = Bytes::from(vec![8, wire_type]);
        assert_eq!(decode(message), Ok(Decoded::MissingPayload(kind)));
    }
    let empty = Decoded::MissingPayload(PacketKind::DialRequest);
    assert_eq!(decode(Bytes::new()), Ok(empty));
}

// ---- D17: an endpoint that speaks first, in front of a Go client ----

fn with_banner(first_data_hold: Duration) -> Triad {
    let mut t = Setup {
        flow_control: true,
        proxy_stream: ProxyStreamConfig {
            first_data_hold,
            ..ProxyStreamConfig::default()
        },
        ..Setup::default()
    }
    .start_with_agent();
    t.endpoints.behave(
        ENDPOINT,
        Behaviour {
            greeting: Bytes::from_static(b"220 ready"),
            ..Behaviour::default()
        },
    );
    t
}

#[test]
fn d17_the_banner_follows_the_answer_at_a_distance() {
    let mut t = with_banner(Duration::from_millis(10));
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t.run_for(Duration::from_micros(9_999));
    assert!(t[grpc].connect_id(dial).is_some());
    assert_eq!(t[grpc].data(dial), b"");
    t.run_for(Duration::from_micros(1));
    assert_eq!(t[grpc].data(dial), b"220 ready");
}

#[test]
fn d17_a_client_that_speaks_is_ready_to_listen() {
    let mut t = with_banner(Duration::from_millis(10));
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t[grpc].write(dial, b"hello");
    t.run_now();
    assert_eq!(t[grpc].data(dial), b"220 ready");
}

#[test]
fn d17_without_a_hold_nothing_waits() {
    let mut t = with_banner(Duration::ZERO);
    let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
    let dial = t[grpc].dial(ENDPOINT);
    t.run_now();
    assert_eq!(t[grpc].data(dial), b"220 ready");
    assert_eq!(t[connect].received(), b"220 ready");
}

#[test]
fn d17_an_http_client_has_no_need_of_the_hold() {
    let mut t = with_banner(Duration::from_millis(10));
    let connect = t.open_connect(ENDPOINT);
    t.run_now();
    assert_eq!(t[connect].received(), b"220 ready");
}

// ---- D29, D35: draining ----

#[test]
fn d29_a_draining_agent_serves_its_connections_and_then_is_empty() {
    let mut t = Setup::flow_controlled().start();
    let leaving = t.connect_agent("a");
    let old = t.open_connect(ENDPOINT);
    t.run_for(A_SECOND);
    let staying = t.connect_agent("b");
    t.drain_agent(leaving);
    t.run_for(A_SECOND);
    for _ in 0..10 {
        t.open_connect("10.0.0.2:80");
    }
    t.run_for(A_SECOND);
    assert_eq!(t.tunnel(leaving).server.link.stream_count(), 1);
    assert_eq!(t.tunnel(staying).server.link.stream_count(), 10);

    t[old].write(b"still");
    t.run_for(A_SECOND);
    assert_eq!(t.endpoints.at(ENDPOINT).received(), b"still");
    t[old].close();
    t.run_until_idle();
    assert!(t.tunnel(leaving).agent.link.is_empty());
}

#[test]
fn d29_a_draining_agent_that_is_the_only_one_still_serves_dials() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let link = t.only_link();
    t.drain_agent(link);
    t.run_for(A_SECOND);
    let connect = t.open_connect(ENDPOINT);
    t.run_for(A_SECOND);
    assert_eq!(t[connect].answers(), [Ok(())]);
}

// ---- D37: counting ----

#[test]
fn d37_every_dial_and_every_connection_is_counted_down_again() {
    let mut t = Setup::flow_controlled().start_with_agent();
    t.endpoints.behave(
        "refusing:80",
        Behaviour {
            dial: DialOutcome::Refuse("connection refused".to_owned()),
            ..Behaviour::default()
        },
    );
    t.endpoints.behave(
        "silent:80",
        Behaviour {
            dial: DialOutcome::Ignore,
            ..Behaviour::default()
        },
    );
    let closed = t.open_connect(ENDPOINT);
    let reset = t.open_connect(ENDPOINT);
    t.open_connect("refusing:80");
    t.open_connect("silent:80");
    let given_up = t.open_grpc();
    t[given_up].dial("silent:80");
    let lost = t.open_grpc();
    t[lost].dial("10.0.0.9:80");
    t.run_for(A_SECOND);
    t[closed].close();
    t.reset_connect(reset);
    t.reset_grpc(given_up);
    t.run_for(Duration::from_secs(60));
    let link = t.only_link();
    t.lose_tunnel(link);
    t.run_until_idle();

    let events = &t.tunnel(link).server.events;
    let count = |matches: fn(&LinkEvent) -> bool| events.iter().filter(|e| matches(e)).count();
    assert_eq!(count(|event| *event == LinkEvent::DialStarted), 6);
    assert_eq!(count(|event| *event == LinkEvent::DialEnded), 6);
    assert_eq!(count(|e| matches!(e, LinkEvent::Opened { .. })), 3);
    assert_eq!(count(|e| matches!(e, LinkEvent::Closed { .. })), 3);
    for (reason, times) in [
        (DialFailure::ErrorResponse, 1),
        (DialFailure::BackendDialTimeout, 1),
        (DialFailure::FrontendClose, 1),
    ] {
        let failed = LinkEvent::DialFailed(reason);
        let counted = events.iter().filter(|event| **event == failed).count();
        assert_eq!(counted, times, "{reason:?}");
    }
    t.assert_nothing_left();
}

#[test]
fn d37_a_connection_lives_from_its_answer_to_its_end() {
    let mut t = Setup::flow_controlled().start_with_agent();
    t.endpoints.behave(
        ENDPOINT,
        Behaviour {
            dial: DialOutcome::AcceptAfter(A_SECOND),
            ..Behaviour::default()
        },
    );
    let connect = t.open_connect(ENDPOINT);
    t.run_for(Duration::from_secs(8));
    t[connect].close();
    t.run_until_idle();
    let link = t.only_link();
    let events = &t.tunnel(link).server.events;
    let took = events.iter().find_map(|event| match event {
        LinkEvent::Opened { took, .. } => Some(*took),
        LinkEvent::DialStarted
        | LinkEvent::DialEnded
        | LinkEvent::DialFailed(_)
        | LinkEvent::Closed { .. }
        | LinkEvent::Draining
        | LinkEvent::Suspended
        | LinkEvent::Resumed
        | LinkEvent::ResumptionConfirmed { .. }
        | LinkEvent::Silent
        | LinkEvent::Broken(_)
        | LinkEvent::Down(_)
        | LinkEvent::Retired => None,
    });
    assert_eq!(took, Some(A_SECOND));
    assert!(matches!(
        events.last(),
        Some(LinkEvent::Closed { lived, .. }) if *lived == Duration::from_secs(7)
    ));
}

// ---- D38: bounds ----

fn with_streams(server: usize, agent: usize) -> Triad {
    let mut setup = Setup::flow_controlled();
    setup.server.mux.max_streams = server;
    setup.agent.mux.max_streams = agent;
    setup.start_with_agent()
}

#[test]
fn d38_a_link_at_its_limit_refuses_the_next_dial_in_words() {
    let mut t = with_streams(3, 100);
    let connects: Vec<_> = (0..4).map(|_| t.open_connect(ENDPOINT)).collect();
    t.run_for(A_SECOND);
    for connect in &connects[..3] {
        assert_eq!(t[*connect].answers(), [Ok(())]);
    }
    let refused = DialError::TooManyStreams { limit: 3 };
    assert_eq!(t[connects[3]].answers(), [Err(refused)]);

    t[connects[0]].close();
    t.run_for(A_SECOND);
    let next = t.open_connect(ENDPOINT);
    t.run_for(A_SECOND);
    assert_eq!(t[next].answers(), [Ok(())]);
}

#[test]
fn d38_an_agent_at_its_limit_refuses_the_next_dial_in_words() {
    let mut t = with_streams(100, 3);
    let connects: Vec<_> = (0..4).map(|_| t.open_connect(ENDPOINT)).collect();
    t.run_for(A_SECOND);
    let words = "agent is at its limit of 3 streams on this tunnel";
    let refused = DialError::Refused(words.to_owned());
    assert_eq!(t[connects[3]].answers(), [Err(refused)]);
    assert_eq!(t.endpoints.count(ENDPOINT), 3);
}

#[test]
fn d38_a_flood_of_unknown_ids_costs_a_bounded_number_of_replies() {
    let mut t = Setup::default()
        .with_mux(&MuxConfig {
            max_unknown_replies: 100,
            ..MuxConfig::default()
        })
        .start_with_agent();
    let link = t.only_link();
    for id in 1..100_000 {
        t.send_as_agent(
            link,
            Packet::Data {
                connect_id: dialback_core::ConnectId::new(id),
                data: Bytes::from_static(b"x"),
            },
        );
    }
    t.run_until_idle();
    let replies = t.tunnel(link).down().count(PacketKind::CloseRequest);
    assert_eq!(replies, 100);
}

// ---- D39: the sweep at the end of a link ----

#[test]
fn d39_a_dial_that_succeeds_after_the_link_is_down_leaves_no_connection() {
    let mut setup = Setup::flow_controlled();
    setup.tunnel.delay = Duration::from_millis(10);
    for lost_at in 0..60 {
        let mut t = setup.clone().start_with_agent();
        t.endpoints.behave(
            ENDPOINT,
            Behaviour {
                dial: DialOutcome::AcceptAfter(Duration::from_millis(20)),
                ..Behaviour::default()
            },
        );
        let connect = t.open_connect(ENDPOINT);
        t.run_for(Duration::from_millis(lost_at));
        let link = t.only_link();
        t.lose_tunnel_unevenly(link, Duration::from_millis(25));
        t.run_until_idle();
        assert_eq!(t[connect].answers().len(), 1);
        if t.endpoints.count(ENDPOINT) > 0 {
            assert!(t.endpoints.at(ENDPOINT).saw_end().is_some());
        }
        t.assert_nothing_left();
    }
}
