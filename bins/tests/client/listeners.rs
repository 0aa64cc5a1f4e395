//! Tools that listen: many at once, and across a restart of the proxy server.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::endpoints::line;
use crate::proxies::socks5;
use crate::support::daemon::{PROMPTLY, eventually};
use crate::support::pair::{Front, Pair};
use crate::tool::{Listening, connect, converse, through};

#[test]
fn twenty_four_forwards_serve_at_once() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let line = line();
    let socket = pair.site.file("forward.sock");
    let mut rules = vec![format!("0:{line}"); 23];
    rules.push(format!("{}:{line}", socket.display()));
    let rules: Vec<_> = rules.iter().map(String::as_str).collect();
    let mut forward = Listening::start("forward", &through(&pair, Front::GrpcUnix), &rules);
    let addresses: Vec<_> = (0..23).map(|_| forward.address()).collect();
    let conversations: Vec<_> = addresses
        .into_iter()
        .map(|address| thread::spawn(move || converse(connect(address), b"hello\n").unwrap()))
        .collect();
    for conversation in conversations {
        assert_eq!(conversation.join().unwrap(), "you said hello\n");
    }
    eventually(|| socket.exists().then_some(()).ok_or("no socket".to_owned()));
    let unix = UnixStream::connect(&socket).unwrap();
    unix.set_read_timeout(Some(PROMPTLY)).unwrap();
    assert_eq!(converse(unix, b"bye\n").unwrap(), "you said bye\n");
    forward.finish();
    assert!(!socket.exists());
    pair.finish();
}

/// Whether an endpoint answers through each of three listeners.
fn answers(listeners: &[(&str, SocketAddr); 3], endpoint: SocketAddr) -> [bool; 3] {
    listeners.map(|(tool, address)| {
        let mut stream = match tool {
            "socks5" => match socks5(address, endpoint) {
                (stream, 0) => stream,
                (_, _) => return false,
            },
            _ => connect(address),
        };
        if tool == "http-proxy" {
            write!(stream, "CONNECT {endpoint} HTTP/1.1\r\n\r\n").unwrap();
        }
        let said = converse(stream, b"a\n");
        said.is_ok_and(|said| said.ends_with("you said a\n"))
    })
}

#[test]
fn listeners_survive_a_restart_of_the_proxy_server() {
    let mut pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let endpoint = line();
    let rule = format!("0:{endpoint}");
    let mut tools = [
        ("forward", Listening::start("forward", &flags, &[&rule])),
        (
            "socks5",
            Listening::start("socks5", &flags, &["--listen=0"]),
        ),
        (
            "http-proxy",
            Listening::start("http-proxy", &flags, &["--listen=0"]),
        ),
    ];
    let listeners = tools
        .each_mut()
        .map(|(tool, listening)| (*tool, listening.address()));
    assert_eq!(answers(&listeners, endpoint), [true; 3]);
    pair.server.terminate();
    pair.server.until_ended();
    assert_eq!(answers(&listeners, endpoint), [false; 3]);
    pair.server = pair.site.start_server(Front::GrpcUnix, &[]);
    pair.server.until("/readyz", 200);
    assert_eq!(answers(&listeners, endpoint), [true; 3]);
    for (_, listening) in tools {
        listening.finish();
    }
}
