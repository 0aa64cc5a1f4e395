//! proxy-server and proxy-agent as an operator runs them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;

use support::daemon::PROMPTLY;
use support::pair::{Front, Pair};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// An endpoint with one connection, which sends everything back.
fn echo_once() -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut back = connection.try_clone().unwrap();
        std::io::copy(&mut connection, &mut back).unwrap();
    });
    (address, serving)
}

fn dial(pair: &Pair, endpoint: &str) -> UnixStream {
    let mut frontend = UnixStream::connect(pair.site.socket()).unwrap();
    frontend.set_read_timeout(Some(PROMPTLY)).unwrap();
    write!(
        frontend,
        "CONNECT {endpoint} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; ESTABLISHED.len()];
    frontend.read_exact(&mut answer).unwrap();
    assert_eq!(answer, ESTABLISHED);
    frontend
}

#[test]
fn a_pair_carries_a_connection_and_leaves_nothing_behind() {
    carries_a_connection(Pair::start(Front::ConnectUnix, &[]));
}

fn carries_a_connection(pair: Pair) {
    let (endpoint, serving) = echo_once();
    let mut frontend = dial(&pair, &endpoint);
    frontend.write_all(b"to the endpoint and back").unwrap();
    let mut echoed = [0; 24];
    frontend.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"to the endpoint and back");
    drop(frontend);
    serving.join().unwrap();
    pair.finish();
}

/// Signals, health checks and metrics included: the pair starts, rests and ends by them.
#[cfg(feature = "smol")]
#[test]
fn each_may_run_on_smol() {
    for (server, agent) in [("smol", "smol"), ("smol", "tokio"), ("tokio", "smol")] {
        let flags = [server, agent].map(|name| format!("--runtime={name}"));
        let pair = Pair::start_with(Front::ConnectUnix, &[&flags[0]], &[&flags[1]]);
        carries_a_connection(pair);
    }
}

#[test]
fn connections_live_on_while_the_agent_drains() {
    let mut pair = Pair::start(Front::ConnectUnix, &[]);
    let (endpoint, serving) = echo_once();
    let mut frontend = dial(&pair, &endpoint);
    pair.agent.terminate();
    frontend.write_all(b"still here").unwrap();
    let mut echoed = [0; 10];
    frontend.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"still here");
    assert_eq!(pair.agent.try_end(), None);
    drop(frontend);
    serving.join().unwrap();
    // With the last connection it ends by itself.
    assert!(pair.agent.until_ended().success());
    pair.agent.assert_no_errors();
}

#[test]
fn a_draining_agent_waits_no_longer_than_it_may() {
    let mut pair = Pair::start_with(Front::ConnectUnix, &[], &["--drain-timeout=100ms"]);
    let (endpoint, serving) = echo_once();
    let mut frontend = dial(&pair, &endpoint);
    pair.agent.terminate();
    assert!(pair.agent.until_ended().success());
    // The stream was cut, with an error at both ends.
    let end = frontend.read(&mut [0]);
    assert!(!matches!(end, Ok(1..)), "{end:?}");
    drop(frontend);
    assert!(serving.join().is_err(), "the endpoint sees a reset");
    assert!(pair.agent.logged().contains("drain timeout has passed"));
}

/// Nobody has to be waited for.
#[test]
fn an_idle_agent_ends_with_the_first_signal() {
    let mut pair = Pair::start(Front::ConnectUnix, &[]);
    pair.agent.terminate();
    assert!(pair.agent.until_ended().success());
    pair.server.reaches(
        "konnectivity_network_proxy_server_ready_backend_connections",
        0.0,
    );
    pair.agent.assert_no_errors();
}

#[test]
fn strangers_on_the_agent_listener_disturb_nobody() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b""] {
        let mut stranger = TcpStream::connect(pair.site.agents()).unwrap();
        stranger.set_read_timeout(Some(PROMPTLY)).unwrap();
        stranger.write_all(garbage).unwrap();
        stranger.shutdown(Shutdown::Write).unwrap();
        // An alert or nothing, and then the end.
        let _ = stranger.read_to_end(&mut Vec::new());
    }
    let (endpoint, serving) = echo_once();
    drop(dial(&pair, &endpoint));
    serving.join().unwrap();
    pair.finish();
}

#[test]
fn the_verbosity_of_the_log_is_changed_on_the_admin_port() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let put = |port, level: &str| {
        let mut admin = TcpStream::connect(pair.site.at(port)).unwrap();
        admin.set_read_timeout(Some(PROMPTLY)).unwrap();
        let length = level.len();
        write!(
            admin,
            "PUT /debug/flags/v HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{level}"
        )
        .unwrap();
        let mut answer = String::new();
        admin.read_to_string(&mut answer).unwrap();
        answer
    };
    for (port, daemon) in [(8095, &pair.server), (8094, &pair.agent)] {
        let answer = put(port, "6");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nsuccessfully set klog.logging.verbosity to 6"));
        assert!(
            daemon
                .logged()
                .contains("\"verbosity of the log changed\" v=6")
        );
        let refused = put(port, "loud");
        assert!(
            refused.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{refused}"
        );
    }
    let (endpoint, serving) = echo_once();
    drop(dial(&pair, &endpoint));
    serving.join().unwrap();
    pair.finish();
}
