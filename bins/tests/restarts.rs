//! Daemons that are restarted or killed: streams end with a reason, the other half recovers, nothing leaks.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use support::daemon::PROMPTLY;
use support::pair::{Front, Pair};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// A stream between a frontend and an endpoint, both in this process.
struct Stream {
    frontend: UnixStream,
    endpoint: TcpStream,
}

impl Stream {
    fn open(pair: &Pair) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut frontend = UnixStream::connect(pair.site.socket()).unwrap();
        frontend.set_read_timeout(Some(PROMPTLY)).unwrap();
        let address = listener.local_addr().unwrap();
        write!(frontend, "CONNECT {address} HTTP/1.1\r\n\r\n").unwrap();
        let (endpoint, _) = listener.accept().unwrap();
        endpoint.set_read_timeout(Some(PROMPTLY)).unwrap();
        let mut answer = [0; ESTABLISHED.len()];
        frontend.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ESTABLISHED);
        let mut stream = Self { frontend, endpoint };
        stream.exchange();
        stream
    }

    fn exchange(&mut self) {
        let mut byte = [0];
        self.frontend.write_all(b"x").unwrap();
        self.endpoint.read_exact(&mut byte).unwrap();
        self.endpoint.write_all(b"y").unwrap();
        self.frontend.read_exact(&mut byte).unwrap();
    }
}

/// Whether no more comes: the connection was ended or cut, and did not just stay silent.
fn is_over(read: std::io::Result<usize>) -> bool {
    match read {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Stops or kills the server, starts another in its place, and checks what becomes of the streams.
fn restart_server(kill: bool) {
    const STREAMS: usize = 20;
    let mut pair = Pair::start(Front::ConnectUnix, &[]);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| Stream::open(&pair)).collect();
    if kill {
        pair.server.kill();
        // A killed process leaves its socket behind, which the next one is to replace.
        assert!(pair.site.socket().exists());
    } else {
        pair.server.terminate();
        assert!(pair.server.until_ended().success());
    }
    pair.server = pair
        .site
        .start_server(Front::ConnectUnix, &["--delete-existing-uds-file"]);
    for stream in &mut streams {
        assert!(is_over(stream.frontend.read(&mut [0])));
        assert!(is_over(stream.endpoint.read(&mut [0])));
    }
    drop(streams);
    pair.agent.until("/readyz", 200);
    pair.server.until("/readyz", 200);
    drop(Stream::open(&pair));
    // Who was told goodbye knows at once; who was not learns it from the successor.
    let reason = if kill {
        "session_unknown"
    } else {
        "tunnel_ended"
    };
    let series =
        format!(r#"dialback_streams_closed_total{{initiator="server",reason="{reason}"}}"#);
    pair.agent.reaches(&series, STREAMS as f64);
    pair.finish();
}

#[test]
fn a_server_that_is_restarted_ends_its_streams_and_gets_its_agent_back() {
    restart_server(false);
}

#[test]
fn a_server_that_was_killed_ends_its_streams_and_gets_its_agent_back() {
    restart_server(true);
}

/// An agent of the same name that starts anew holds no session: its predecessor's streams need not be waited for.
#[test]
fn an_agent_that_was_killed_and_comes_back_frees_what_its_predecessor_held() {
    let mut pair = Pair::start_with(Front::ConnectUnix, &[], &["--agent-id=node-1"]);
    let mut streams: Vec<_> = (0..20).map(|_| Stream::open(&pair)).collect();
    pair.agent.kill();
    for stream in &mut streams {
        assert!(is_over(stream.endpoint.read(&mut [0])));
    }
    pair.agent = pair.site.start_agent(&["--agent-id=node-1"]);
    for stream in &mut streams {
        assert!(is_over(stream.frontend.read(&mut [0])));
    }
    pair.agent.until("/readyz", 200);
    drop(streams);
    drop(Stream::open(&pair));
    pair.finish();
}

/// Either half dies again and again while streams come and go; what is left at the end is nothing.
#[test]
fn nothing_adds_up_over_many_kills() {
    let mut pair = Pair::start_with(Front::ConnectUnix, &[], &["--agent-id=node-1"]);
    for round in 0..6 {
        let mut held = Stream::open(&pair);
        if round % 2 == 0 {
            pair.agent.kill();
            pair.agent = pair.site.start_agent(&["--agent-id=node-1"]);
        } else {
            pair.server.kill();
            pair.server = pair
                .site
                .start_server(Front::ConnectUnix, &["--delete-existing-uds-file"]);
        }
        assert!(is_over(held.frontend.read(&mut [0])));
        assert!(is_over(held.endpoint.read(&mut [0])));
        pair.agent.until("/readyz", 200);
        pair.server.until("/readyz", 200);
    }
    pair.finish();
}
