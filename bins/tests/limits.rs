//! A server at its limits: who is over them waits or is told, it is counted, and the others go on.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use support::pair::{Front, Pair};
use support::stream::{Stream, established, request};

fn reached(limit: &str) -> String {
    format!(r#"dialback_limit_reached_total{{limit="{limit}"}}"#)
}

/// Asks for a stream and returns the whole answer, after which the server closes.
fn refused(pair: &Pair) -> String {
    // Bound and never asked: the dial must not get there.
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut frontend = request(&pair.site.socket(), endpoint.local_addr().unwrap()).unwrap();
    let mut answer = String::new();
    frontend.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_agents_tunnel_carries_no_more_streams_than_it_may() {
    let mut pair = Pair::start(Front::ConnectUnix, &["--max-streams-per-agent=2"]);
    let mut first = Stream::open(&pair.site);
    let second = Stream::open(&pair.site);
    let answer = refused(&pair);
    assert!(
        answer.starts_with("HTTP/1.1 502 Bad Gateway\r\n"),
        "{answer}"
    );
    assert!(answer.contains("at its limit of 2 streams"), "{answer}");
    pair.server.reaches(&reached("max_streams_per_agent"), 1.0);
    first.exchange();
    drop(second);
    pair.server.reaches(
        "konnectivity_network_proxy_server_established_connections",
        1.0,
    );
    drop(Stream::open(&pair.site));
    drop(first);
    pair.finish();
}

#[test]
fn frontends_beyond_the_limit_wait_until_another_has_gone() {
    let mut pair = Pair::start(Front::ConnectUnix, &["--max-frontends=1"]);
    let mut first = Stream::open(&pair.site);
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut waiting = request(&pair.site.socket(), endpoint.local_addr().unwrap()).unwrap();
    pair.server.reaches(&reached("max_frontends"), 1.0);
    first.exchange();
    drop(first);
    established(&mut waiting).unwrap();
    drop((waiting, endpoint));
    pair.finish();
}

#[test]
fn a_request_with_too_long_a_header_is_refused_and_counted() {
    let mut pair = Pair::start(Front::ConnectUnix, &["--max-http-header-bytes=1024"]);
    let mut first = Stream::open(&pair.site);
    let mut frontend = UnixStream::connect(pair.site.socket()).unwrap();
    let padding = "x".repeat(1024);
    write!(
        frontend,
        "CONNECT 127.0.0.1:1 HTTP/1.1\r\nX: {padding}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    frontend.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        "{answer}"
    );
    pair.server.reaches(&reached("max_http_header_bytes"), 1.0);
    first.exchange();
    drop(first);
    pair.finish();
}
