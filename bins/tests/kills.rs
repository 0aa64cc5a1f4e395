//! Either half killed again and again under load: how soon the next stream works, and that nothing is left.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(clippy::print_stdout, reason = "what was measured")]

mod support;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use support::daemon::eventually;
use support::pair::{Front, Pair};
use support::stream::{established, request};

/// How long it goes on, in seconds.
const SECONDS: &str = "DIALBACK_KILL_SECONDS";
const DEFAULT_SECONDS: u64 = 300;
/// Between two kills, in milliseconds.
const PAUSE: std::ops::Range<u64> = 500..4000;
const CLIENTS: usize = 8;
/// The longest that may pass from the start of the killed half to a byte there and back.
const RECOVERY: Duration = Duration::from_secs(2);

/// Returns whatever it is sent, to everyone, until the test's process ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let stream = stream?;
                io::copy(&mut &stream, &mut &stream)
            });
        }
    });
    address
}

/// A stream through the daemons that has carried a byte each way.
fn open(socket: &Path, endpoint: SocketAddr) -> io::Result<UnixStream> {
    let mut stream = request(socket, endpoint)?;
    established(&mut stream)?;
    exchange(&mut stream)?;
    Ok(stream)
}

fn exchange(stream: &mut UnixStream) -> io::Result<()> {
    let (sent, mut returned) = ([fastrand::u8(..); 1000], [0; 1000]);
    stream.write_all(&sent)?;
    stream.read_exact(&mut returned)?;
    assert_eq!(sent, returned, "bytes of another stream, or of none");
    Ok(())
}

/// `cargo test -p dialback --release --test kills -- --ignored --nocapture`; `DIALBACK_KILL_SECONDS` for how long.
#[test]
#[ignore = "takes five minutes and measures: run it alone, with --release"]
fn either_half_is_back_within_two_seconds_of_each_kill() {
    let seconds = std::env::var(SECONDS).map_or(DEFAULT_SECONDS, |value| value.parse().unwrap());
    // What operators have; the tests' own are shorter.
    let agent_flags = [
        "--agent-id=node-1",
        "--sync-interval=1s",
        "--sync-interval-cap=10s",
    ];
    let mut pair = Pair::start_with(Front::ConnectUnix, &[], &agent_flags);
    let (socket, endpoint) = (pair.site.socket(), echo());
    let (ended, exchanges) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut waits = Vec::new();
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let Ok(mut stream) = open(&socket, endpoint) else {
                        thread::yield_now();
                        continue;
                    };
                    while !ended.load(Ordering::Relaxed) && exchange(&mut stream).is_ok() {
                        exchanges.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // Nothing is ever sent: waiting on it is the pause between two kills.
        let (_held, pause) = mpsc::channel::<()>();
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            let _ = pause.recv_timeout(Duration::from_millis(fastrand::u64(PAUSE)));
            let server = fastrand::bool();
            let killed = Instant::now();
            if server {
                pair.server.kill();
                pair.server = pair
                    .site
                    .start_server(Front::ConnectUnix, &["--delete-existing-uds-file"]);
            } else {
                pair.agent.kill();
                pair.agent = pair.site.start_agent(&agent_flags);
            }
            eventually(|| open(&socket, endpoint).map_err(|error| error.to_string()));
            waits.push((killed.elapsed(), if server { "server" } else { "agent" }));
        }
        ended.store(true, Ordering::Relaxed);
    });
    waits.sort_unstable();
    let longest = waits.last().copied().unwrap();
    println!(
        "{} kills, {} exchanges; back after {:?} in the median, {longest:?} at most",
        waits.len(),
        exchanges.load(Ordering::Relaxed),
        waits[waits.len() / 2]
    );
    assert!(longest.0 <= RECOVERY, "{longest:?}");
    pair.finish();
}
