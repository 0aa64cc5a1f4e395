//! D1 to D5: one that does not read stalls itself, and nobody else.

use std::time::Duration;

use dialback_core::MuxConfig;
use dialback_harness::{Behaviour, Setup, Triad};

use crate::{A_SECOND, pattern};

const BULK: &str = "10.0.0.1:80";
const ECHO: &str = "10.0.0.3:80";

const MEBIBYTE: usize = 1024 * 1024;

fn echo() -> Behaviour {
    Behaviour {
        echo: true,
        ..Behaviour::default()
    }
}

/// A dial and an echo on the same tunnel, both within a second.
fn assert_others_go_on(t: &mut Triad) {
    t.endpoints.behave(ECHO, echo());
    let other = t.open_grpc();
    let dial = t[other].dial(ECHO);
    t[other].write(dial, b"ping");
    t.run_for(A_SECOND);
    assert_eq!(t[other].data(dial), b"ping");
}

#[test]
fn d1_a_slow_frontend_stalls_only_itself() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let slow = t.open_grpc();
    let dial = t[slow].dial(BULK);
    t.run_for(A_SECOND);
    t[slow].read(false);
    t.endpoints.at(BULK).send(&pattern(16 * MEBIBYTE));
    t.run_for(A_SECOND);
    assert_others_go_on(&mut t);

    // Not for a while: for as long as it likes, and then nothing is missing.
    t.run_for(Duration::from_secs(3600));
    assert_others_go_on(&mut t);
    t[slow].read(true);
    t.run_for(A_SECOND);
    assert_eq!(t[slow].data(dial), pattern(16 * MEBIBYTE));
}

#[test]
fn d1_a_slow_connect_frontend_stalls_only_itself() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let slow = t.open_connect(BULK);
    t[slow].read(false);
    t.run_for(A_SECOND);
    t.endpoints.at(BULK).send(&pattern(16 * MEBIBYTE));
    t.run_for(A_SECOND);
    assert_others_go_on(&mut t);

    t[slow].read(true);
    t.run_for(A_SECOND);
    assert_eq!(t[slow].received(), pattern(16 * MEBIBYTE));
}

#[test]
fn d1_a_slow_frontend_of_a_plain_agent_stalls_nobody_below_its_bound() {
    let mut t = Setup::default().start_with_agent();
    let slow = t.open_grpc();
    let dial = t[slow].dial(BULK);
    t.run_for(A_SECOND);
    t[slow].read(false);
    t.endpoints.at(BULK).send(&pattern(4 * MEBIBYTE));
    t.run_for(Duration::from_secs(60));
    assert_others_go_on(&mut t);

    t[slow].read(true);
    t.run_for(A_SECOND);
    assert_eq!(t[slow].data(dial), pattern(4 * MEBIBYTE));
}

#[test]
fn d1_a_slow_frontend_of_a_plain_agent_stalls_others_for_a_bounded_time_above_it() {
    let mut t = Setup::default().start_with_agent();
    let slow = t.open_grpc();
    let dial = t[slow].dial(BULK);
    t.run_for(A_SECOND);
    t[slow].read(false);
    t.endpoints.at(BULK).send(&pattern(16 * MEBIBYTE));
    t.run_for(Duration::from_secs(11));
    assert_others_go_on(&mut t);

    // It alone was reset, and knows.
    t[slow].read(true);
    t.run_for(A_SECOND);
    let error = "reader took nothing for the slow-stream timeout";
    assert_eq!(t[slow].closes(dial), [error]);
    let data = t[slow].data(dial);
    assert_eq!(data, &pattern(16 * MEBIBYTE)[..data.len()]);
}

#[test]
fn d2_a_slow_endpoint_stalls_only_itself() {
    let mut t = Setup::flow_controlled().start_with_agent();
    t.endpoints.behave(
        BULK,
        Behaviour {
            reading: false,
            ..Behaviour::default()
        },
    );
    let up = t.open_grpc();
    let dial = t[up].dial(BULK);
    t[up].write(dial, &pattern(16 * MEBIBYTE));
    t.run_for(Duration::from_secs(3600));
    assert_others_go_on(&mut t);

    t.endpoints.at(BULK).read(true);
    t.run_for(A_SECOND);
    assert_eq!(t.endpoints.at(BULK).received(), pattern(16 * MEBIBYTE));
}

#[test]
fn d2_a_connection_to_a_slow_endpoint_can_be_closed() {
    for setup in [Setup::flow_controlled(), Setup::default()] {
        let mut t = setup.start_with_agent();
        t.endpoints.behave(
            BULK,
            Behaviour {
                reading: false,
                ..Behaviour::default()
            },
        );
        let up = t.open_grpc();
        let dial = t[up].dial(BULK);
        t[up].write(dial, &pattern(4 * MEBIBYTE));
        t.run_for(A_SECOND);
        t.reset_grpc(up);
        t.run_until_idle();
        t.assert_nothing_left();
    }
}

#[test]
fn d2_a_slow_endpoint_of_a_plain_server_stalls_others_for_a_bounded_time() {
    let mut t = Setup::default().start_with_agent();
    t.endpoints.behave(
        BULK,
        Behaviour {
            reading: false,
            ..Behaviour::default()
        },
    );
    let up = t.open_grpc();
    let dial = t[up].dial(BULK);
    t[up].write(dial, &pattern(16 * MEBIBYTE));
    t.run_for(Duration::from_secs(11));
    assert_others_go_on(&mut t);
    assert_eq!(
        t[up].closes(dial),
        ["reader took nothing for the slow-stream timeout"]
    );
}

#[test]
fn d3_a_close_with_much_to_flush_keeps_nobody_waiting() {
    let mut t = Setup::flow_controlled().start_with_agent();
    let slow = t.open_grpc();
    let dial = t[slow].dial(BULK);
    t.run_for(A_SECOND);
    t[slow].read(false);
    t.endpoints.at(BULK).send(&pattern(8 * MEBIBYTE));
    t[slow].close(dial);
    t.run_for(A_SECOND);
    assert_others_go_on(&mut t);
}

#[test]
fn d4_full_windows_both_ways_are_no_deadlock() {
    for setup in [Setup::flow_controlled(), Setup::default()] {
        let mut t = setup
            .with_mux(&MuxConfig {
                send_buffer_bytes: 16 * 1024,
                receive_buffer_bytes: 64 * 1024,
                receive_window_bytes: 32 * 1024,
                ..MuxConfig::default()
            })
            .start_with_agent();
        let frontends: Vec<_> = (1..=4)
            .map(|host| {
                let address = format!("10.0.1.{host}:80");
                t.endpoints.behave(&address, echo());
                let frontend = t.open_connect(&address);
                t[frontend].write(&pattern(MEBIBYTE));
                frontend
            })
            .collect();
        t.run_for(A_SECOND);
        for frontend in frontends {
            assert_eq!(t[frontend].received(), pattern(MEBIBYTE));
            t[frontend].close();
        }
        t.run_until_idle();
        t.assert_nothing_left();
    }
}

#[test]
fn d5_what_a_stalled_stream_holds_is_bounded_in_bytes() {
    for (setup, bound) in [
        // The window; without one the buffer and one packet.
        (Setup::flow_controlled(), MEBIBYTE),
        (Setup::default(), 4 * MEBIBYTE + 64 * 1024),
    ] {
        let mut t = setup.start_with_agent();
        let slow = t.open_grpc();
        t[slow].dial(BULK);
        t.run_for(A_SECOND);
        t[slow].read(false);
        t.endpoints.at(BULK).send(&pattern(32 * MEBIBYTE));
        t.run_for(Duration::from_secs(5));
        let link = t.only_link();
        let tunnel = t.tunnel(link);
        for queued in tunnel.server.link.queued_bytes() {
            assert!(queued.incoming <= bound);
        }
        for queued in tunnel.agent.link.queued_bytes() {
            assert!(queued.outgoing <= 256 * 1024 + 16 * 1024);
        }
        // The endpoint was paused: the rest never left its socket.
        let sent = t.endpoints.at(BULK).sent_bytes();
        assert!(sent < 6 * MEBIBYTE, "{sent} bytes left the endpoint");
    }
}

#[test]
fn d5_a_bulk_stream_shares_the_tunnel_with_a_small_one() {
    let mut setup = Setup::flow_controlled();
    // A megabyte a second: the bulk alone would take 16 seconds.
    setup.tunnel.bytes_per_second = Some(MEBIBYTE as u64);
    let mut t = setup.start_with_agent();
    let bulk = t.open_connect(BULK);
    t.run_for(A_SECOND);
    t[bulk].write(&pattern(16 * MEBIBYTE));
    t.run_for(A_SECOND);
    assert_others_go_on(&mut t);
    assert!(t.endpoints.at(BULK).received().len() < 8 * MEBIBYTE);
}
