//! D7, D15, D18, D20 to D24: how connections end, and what arrives before.

use std::time::Duration;

use bytes::Bytes;
use dialback_core::server::{DialError, LinkEvent};
use dialback_core::{CloseReason, Packet, PacketKind};
use dialback_harness::{Behaviour, PipeConfig, PipeEnd, Setup};

use crate::{A_SECOND, pattern};

const ENDPOINT: &str = "10.0.0.1:80";
const MEBIBYTE: usize = 1024 * 1024;

/// An endpoint behind a line of that many bytes a second.
fn slow_line(bytes_per_second: u64) -> Behaviour {
    Behaviour {
        pipes: PipeConfig {
            bytes_per_second: Some(bytes_per_second),
            ..PipeConfig::default()
        },
        ..Behaviour::default()
    }
}

fn setups() -> [Setup; 2] {
    [Setup::flow_controlled(), Setup::default()]
}

#[test]
fn d7_a_close_with_an_upload_in_flight_loses_nothing() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        // 8 MiB at 256 KiB a second: most of it is still on its way when the close comes.
        t.endpoints.behave(ENDPOINT, slow_line(256 * 1024));
        let (grpc, dial) = {
            let grpc = t.open_grpc();
            (grpc, t[grpc].dial(ENDPOINT))
        };
        t[grpc].write(dial, &pattern(8 * MEBIBYTE));
        t[grpc].close(dial);
        t.run_until_idle();
        assert_eq!(t.endpoints.at(ENDPOINT).received(), pattern(8 * MEBIBYTE));
        assert_eq!(t.endpoints.at(ENDPOINT).saw_end(), Some(PipeEnd::Finished));
        assert_eq!(t[grpc].closes(dial), [""]);
        t.assert_nothing_left();
    }
}

#[test]
fn d7_an_http_client_that_closes_after_its_upload_loses_nothing() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        t.endpoints.behave(ENDPOINT, slow_line(256 * 1024));
        let connect = t.open_connect(ENDPOINT);
        t[connect].write(&pattern(8 * MEBIBYTE));
        t[connect].close();
        t.run_until_idle();
        assert_eq!(t.endpoints.at(ENDPOINT).received(), pattern(8 * MEBIBYTE));
        assert_eq!(t.endpoints.at(ENDPOINT).saw_end(), Some(PipeEnd::Finished));
        t.assert_nothing_left();
    }
}

#[test]
fn d7_an_endpoint_that_never_reads_is_cut_in_bounded_time() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        t.endpoints.behave(
            ENDPOINT,
            Behaviour {
                reading: false,
                ..Behaviour::default()
            },
        );
        let connect = t.open_connect(ENDPOINT);
        // More than the agent's window: the rest, and the end, wait at the server.
        t[connect].write(&pattern(MEBIBYTE / 2));
        t[connect].close();
        t.run_until_idle();
        t.endpoints.at(ENDPOINT).read(true);
        t.run_until_idle();
        // Cut, so that it can't take what it has for all of it.
        assert_eq!(t.endpoints.at(ENDPOINT).saw_end(), Some(PipeEnd::Reset));
        assert!(t.elapsed() < Duration::from_secs(120));
        t.assert_nothing_left();
    }
}

#[test]
fn a_download_arrives_whole_before_its_end() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        t.endpoints.behave(
            ENDPOINT,
            Behaviour {
                greeting: Bytes::from(pattern(8 * MEBIBYTE)),
                close_after_greeting: true,
                ..Behaviour::default()
            },
        );
        let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
        let dial = t[grpc].dial(ENDPOINT);
        t.run_until_idle();
        assert_eq!(t[grpc].data(dial), pattern(8 * MEBIBYTE));
        assert_eq!(t[grpc].closes(dial), [""]);
        assert_eq!(t[connect].received(), pattern(8 * MEBIBYTE));
        assert_eq!(t[connect].ended(), Some(PipeEnd::Finished));
        t.assert_nothing_left();
    }
}

#[test]
fn a_paused_reader_gets_the_end_of_a_download_however_late() {
    let mut t = Setup::flow_controlled().start_with_agent();
    t.endpoints.behave(
        ENDPOINT,
        Behaviour {
            greeting: Bytes::from(pattern(3 * MEBIBYTE / 2)),
            close_after_greeting: true,
            ..Behaviour::default()
        },
    );
    let connect = t.open_connect(ENDPOINT);
    t[connect].read(false);
    t.run_for(Duration::from_secs(3600));
    t[connect].read(true);
    t.run_until_idle();
    assert_eq!(t[connect].received(), pattern(3 * MEBIBYTE / 2));
    assert_eq!(t[connect].ended(), Some(PipeEnd::Finished));
    t.assert_nothing_left();
}

#[test]
fn d15_a_frontend_that_breaks_is_closed_both_ways() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
        t[grpc].dial("10.0.0.2:80");
        t.run_for(A_SECOND);
        for address in [ENDPOINT, "10.0.0.2:80"] {
            t.endpoints.at(address).send(&pattern(4 * MEBIBYTE));
        }
        t.reset_grpc(grpc);
        t.reset_connect(connect);
        t.run_until_idle();
        for address in [ENDPOINT, "10.0.0.2:80"] {
            assert!(t.endpoints.at(address).saw_end().is_some());
        }
        t.assert_nothing_left();
    }
}

#[test]
fn d15_a_frontend_that_breaks_before_the_answer_leaves_no_connection() {
    let mut setup = Setup::flow_controlled();
    setup.tunnel.delay = Duration::from_millis(100);
    let mut t = setup.start_with_agent();
    let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
    t[grpc].dial(ENDPOINT);
    t.run_for(Duration::from_millis(150));
    assert_eq!(t.endpoints.count(ENDPOINT), 2, "its answer is under way");
    t.reset_grpc(grpc);
    t.reset_connect(connect);
    t.run_until_idle();
    t.assert_nothing_left();
}

#[test]
fn d18_empty_data_never_reaches_a_frontend() {
    let mut t = Setup::default().start_with_agent();
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t.run_for(A_SECOND);
    let connect_id = t[grpc].connect_id(dial);
    let link = t.only_link();
    let data = |data| Packet::Data { connect_id, data };
    for payload in ["", "a", "", "", "b", ""] {
        t.send_as_agent(link, data(Bytes::from(payload)));
    }
    t.run_for(A_SECOND);
    assert_eq!(t[grpc].data(dial), b"ab");
    assert!(!t[grpc].received().contains(&data(Bytes::new())));
}

#[test]
fn d18_empty_data_of_a_frontend_is_no_end_either() {
    let mut t = Setup::default().start_with_agent();
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t.run_for(A_SECOND);
    let connect_id = t[grpc].connect_id(dial);
    t[grpc].send(Packet::Data {
        connect_id,
        data: Bytes::new(),
    });
    t[grpc].write(dial, b"after");
    t.run_for(A_SECOND);
    assert_eq!(t.endpoints.at(ENDPOINT).received(), b"after");
    assert_eq!(t.endpoints.at(ENDPOINT).saw_end(), None);
}

#[test]
fn d20_the_loss_of_the_agent_is_no_orderly_end() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
        let dial = t[grpc].dial("10.0.0.2:80");
        t.run_for(A_SECOND);
        for address in [ENDPOINT, "10.0.0.2:80"] {
            t.endpoints.at(address).send(b"so far");
        }
        t.run_for(A_SECOND);
        let link = t.only_link();
        t.lose_tunnel(link);
        t.run_until_idle();
        assert_eq!(t[grpc].data(dial), b"so far");
        assert_eq!(t[grpc].closes(dial), ["tunnel lost"]);
        assert_eq!(t[connect].ended(), Some(PipeEnd::Reset));
        for address in [ENDPOINT, "10.0.0.2:80"] {
            let end = t.endpoints.at(address).saw_end();
            assert_eq!(end, Some(PipeEnd::Reset));
        }
        t.assert_nothing_left();
    }
}

#[test]
fn d20_an_endpoint_that_resets_is_no_orderly_end() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
        let dial = t[grpc].dial("10.0.0.2:80");
        t.run_for(A_SECOND);
        for address in [ENDPOINT, "10.0.0.2:80"] {
            t.reset_endpoint(address);
        }
        t.run_until_idle();
        assert_eq!(t[grpc].closes(dial), ["read: connection reset by peer"]);
        assert_eq!(t[connect].ended(), Some(PipeEnd::Reset));
        t.assert_nothing_left();
    }
}

#[test]
fn d20_an_upload_that_the_endpoint_did_not_take_is_no_success() {
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
    // More than the agent's window: the rest waits at the server.
    t[grpc].write(dial, &pattern(MEBIBYTE / 2));
    t[grpc].close(dial);
    t.run_until_idle();
    assert_eq!(t[grpc].closes(dial), ["close was not answered in time"]);
    t.assert_nothing_left();
}

#[test]
fn d22_after_the_endpoints_close_no_close_request_is_sent() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
        t[grpc].dial("10.0.0.2:80");
        t.run_for(A_SECOND);
        for address in [ENDPOINT, "10.0.0.2:80"] {
            t.endpoints.at(address).finish();
        }
        t.run_for(A_SECOND);
        t[grpc].finish();
        t[connect].close();
        t.run_until_idle();
        let link = t.only_link();
        let tunnel = t.tunnel(link);
        assert_eq!(tunnel.down().count(PacketKind::CloseRequest), 0);
        assert_eq!(tunnel.up().count(PacketKind::CloseResponse), 2);
        t.assert_nothing_left();
    }
}

#[test]
fn d22_a_frontends_close_costs_one_request_and_one_response() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t[grpc].close(dial);
    t.run_for(A_SECOND);
    t.reset_grpc(grpc);
    t.run_until_idle();
    let link = t.only_link();
    let tunnel = t.tunnel(link);
    assert_eq!(tunnel.down().count(PacketKind::CloseRequest), 1);
    assert_eq!(tunnel.up().count(PacketKind::CloseResponse), 1);
    assert_eq!(t[grpc].closes(dial), [""]);
    t.assert_nothing_left();
}

#[test]
fn d22_closes_that_cross_do_no_harm() {
    let mut setup = Setup::default();
    setup.tunnel.delay = Duration::from_millis(100);
    let mut t = setup.start_with_agent();
    let grpc = t.open_grpc();
    let dial = t[grpc].dial(ENDPOINT);
    t.run_for(A_SECOND);
    t.endpoints.at(ENDPOINT).finish();
    t[grpc].close(dial);
    t.run_until_idle();
    assert_eq!(t[grpc].closes(dial), [""]);
    t.assert_nothing_left();
}

#[test]
fn d23_a_proxy_stream_ends_some_time_after_its_connection() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let grpc = t.open_grpc();
    t[grpc].dial(ENDPOINT);
    t.run_for(A_SECOND);
    t.endpoints.at(ENDPOINT).finish();
    t.run_for(A_SECOND);
    assert_eq!(t[grpc].ended(), None);
    t.run_for(Duration::from_secs(10));
    assert_eq!(t[grpc].ended(), Some(PipeEnd::Finished));
    t.assert_nothing_left();
}

#[test]
fn d23_a_proxy_stream_without_a_dial_ends_and_one_with_a_connection_stays() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let (idle, used) = (t.open_grpc(), t.open_grpc());
    t[used].dial(ENDPOINT);
    t.run_until_idle();
    assert_eq!(t[idle].ended(), Some(PipeEnd::Finished));
    assert_eq!(t[used].ended(), None);
}

#[test]
fn d23_a_proxy_stream_whose_dial_failed_ends() {
    let mut t = Setup::default().start();
    let (grpc, connect) = (t.open_grpc(), t.open_connect(ENDPOINT));
    t[grpc].dial(ENDPOINT);
    t.run_until_idle();
    assert_eq!(t[grpc].ended(), Some(PipeEnd::Finished));
    assert_eq!(t[connect].answers(), [Err(DialError::NoAgent)]);
    t.assert_nothing_left();
}

#[test]
fn d24_a_large_write_is_split() {
    for setup in setups() {
        let mut t = setup.start_with_agent();
        let grpc = t.open_grpc();
        let dial = t[grpc].dial(ENDPOINT);
        t.run_for(A_SECOND);
        let connect_id = t[grpc].connect_id(dial);
        let data = Bytes::from(pattern(4 * MEBIBYTE - 100));
        t[grpc].send(Packet::Data {
            connect_id,
            data: data.clone(),
        });
        t.run_for(A_SECOND);
        assert_eq!(t.endpoints.at(ENDPOINT).received(), data);
        let link = t.only_link();
        assert_eq!(t.tunnel(link).down().largest_data_bytes(), 64 * 1024);
    }
}

#[test]
fn an_end_keeps_its_reason_on_both_sides() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let connect = t.open_connect(ENDPOINT);
    t.run_for(A_SECOND);
    t.endpoints.at(ENDPOINT).finish();
    t.run_until_idle();
    let link = t.only_link();
    assert!(matches!(
        t.tunnel(link).server.events.last(),
        Some(LinkEvent::Closed {
            reason: CloseReason::EndpointClosed,
            ..
        })
    ));
    assert_eq!(t[connect].ended(), Some(PipeEnd::Finished));
}
