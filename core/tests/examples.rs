//! The examples drive a pair of machines over real sockets, with threads alone.
#![expect(clippy::disallowed_types, reason = "real sockets")]
#![expect(clippy::disallowed_methods, reason = "threads")]
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "../examples/agent_link.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod agent_link;
#[path = "../examples/server_link.rs"]
#[expect(dead_code, reason = "its main is for the command line")]
mod server_link;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// A tunnel between both, and where frontends find the server.
struct Pair {
    frontends: SocketAddr,
    /// A handle on the tunnel, to cut it.
    tunnel: TcpStream,
    ends: [JoinHandle<std::io::Result<()>>; 2],
}

impl Pair {
    fn start(destination: SocketAddr) -> Self {
        let agents = TcpListener::bind("127.0.0.1:0").unwrap();
        let frontends = TcpListener::bind("127.0.0.1:0").unwrap();
        let agent = TcpStream::connect(agents.local_addr().unwrap()).unwrap();
        let (server, _) = agents.accept().unwrap();
        let tunnel = server.try_clone().unwrap();
        let address = frontends.local_addr().unwrap();
        let destination = destination.to_string();
        Self {
            frontends: address,
            tunnel,
            ends: [
                thread::spawn(move || server_link::serve(server, frontends, destination)),
                thread::spawn(move || agent_link::serve(agent)),
            ],
        }
    }

    fn dial(&self) -> TcpStream {
        TcpStream::connect(self.frontends).unwrap()
    }

    fn end(self) {
        self.tunnel.shutdown(Shutdown::Both).unwrap();
        for end in self.ends {
            // Cut in the middle, either may call it an error.
            let _ = end.join().unwrap();
        }
    }
}

/// Sends back what it gets.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let _ = std::io::copy(&mut &socket, &mut &socket);
            });
        }
    });
    address
}

fn exchange(stream: &TcpStream, bytes: &[u8]) {
    thread::scope(|scope| {
        scope.spawn(|| (&mut &*stream).write_all(bytes).unwrap());
        let mut got = vec![0; bytes.len()];
        (&mut &*stream).read_exact(&mut got).unwrap();
        assert!(got == bytes, "{} bytes", got.len());
    });
}

#[test]
fn streams_are_carried_both_ways() {
    let pair = Pair::start(echo());
    let bytes: Vec<u8> = (0..4_000_000_usize)
        .map(|index| (index % 251) as u8)
        .collect();
    let (one, other) = (pair.dial(), pair.dial());
    thread::scope(|scope| {
        for (stream, bytes) in [(&one, &bytes[..]), (&other, &bytes[100..])] {
            scope.spawn(|| exchange(stream, bytes));
        }
    });
    // One ends, the other goes on.
    drop(one);
    exchange(&other, b"still here");
    pair.end();
    // With the tunnel the stream ends, so that nobody waits for ever.
    assert_eq!((&mut &other).read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_reader_that_takes_nothing_stalls_only_itself() {
    let pair = Pair::start(echo());
    let stalled = pair.dial();
    let writing = stalled.try_clone().unwrap();
    let bytes = vec![7; 32 << 20];
    let sending = thread::spawn(move || (&mut &writing).write_all(&bytes));
    let other = pair.dial();
    for _ in 0..20 {
        exchange(&other, b"hello");
    }
    assert!(!sending.is_finished(), "32 MiB went where nobody reads");
    pair.end();
    // With the tunnel its connection ends, behind what was on the way.
    let _ = (&mut &stalled).read_to_end(&mut Vec::new());
    assert!(sending.join().unwrap().is_err());
}

#[test]
fn a_refused_dial_ends_the_connection() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let pair = Pair::start(address);
    let mut stream = pair.dial();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    pair.end();
}
