//! Many streams, and a path that fails again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::run::run;
use dialback_tests::server::ServerOptions;
use dialback_tests::wait::{eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::Path;

/// Streams that ask and are answered, and streams that are only read from, as a watch is.
const ECHOES: usize = 40;
const FOLLOWERS: usize = 10;

const DISTURBANCES: usize = 20;

/// What the streams of one test share.
#[derive(Default)]
struct Progress {
    /// Echoes and records that came.
    made: AtomicUsize,
    over: AtomicBool,
}

impl Progress {
    /// Counts one more; whether to go on.
    fn one_more(&self) -> bool {
        self.made.fetch_add(1, Ordering::Relaxed);
        !self.over.load(Ordering::Relaxed)
    }
}

/// The endpoint of followers: numbers, one after the other, a few milliseconds apart.
async fn counting() -> Endpoint {
    Endpoint::start(|mut socket| async move {
        for number in 0_u64.. {
            if socket.write_u64(number).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

async fn follow(mut stream: UnixStream, progress: Arc<Progress>) {
    for expected in 0.. {
        let number = within("the next record", stream.read_u64()).await;
        assert_eq!(number.unwrap(), expected);
        if !progress.one_more() {
            return;
        }
    }
}

async fn ask(mut stream: UnixStream, progress: Arc<Progress>, number: usize) {
    let mut length = number * 31 + 1;
    loop {
        exchange(&mut stream, &pattern(length)).await;
        length = length * 7 % 20_011 + 1;
        if !progress.one_more() {
            return;
        }
    }
}

/// Not one stream ends, not one byte is lost, doubled or reordered, however often the connection is cut, frozen for a
/// while, or left for dead.
#[test]
fn many_streams_survive_many_failures() {
    run(async |log| {
        let (mut server, mut agent) = (ServerOptions::default(), AgentOptions::default());
        for session in [&mut server.config.link.session, &mut agent.link.session] {
            session.silence_timeout = Duration::from_millis(500);
            session.idle_probe = Duration::from_millis(500);
        }
        let path = Path::start(server, agent).await;
        let (echo, counter) = (Endpoint::echo().await, counting().await);
        let progress = Arc::new(Progress::default());
        let mut streams = JoinSet::new();
        let (socket, echo_address) = (path.server.socket(), echo.address.to_string());
        for number in 0..ECHOES {
            let stream = connect(&socket, &echo_address).await.unwrap();
            streams.spawn(ask(stream, Arc::clone(&progress), number));
        }
        let counter_address = counter.address.to_string();
        for _ in 0..FOLLOWERS {
            let stream = connect(&socket, &counter_address).await.unwrap();
            streams.spawn(follow(stream, Arc::clone(&progress)));
        }
        for disturbance in 0..DISTURBANCES {
            let seen = progress.made.load(Ordering::Relaxed);
            eventually("the streams move", || {
                progress.made.load(Ordering::Relaxed) >= seen + 2 * (ECHOES + FOLLOWERS)
            })
            .await;
            match disturbance % 5 {
                3 => path.relay.strand(),
                4 => {
                    path.relay.freeze();
                    path.relay.cut();
                    path.relay.thaw();
                }
                _ => path.relay.cut(),
            }
        }
        eventually("the streams move", || {
            progress.made.load(Ordering::Relaxed) > 2 * DISTURBANCES * (ECHOES + FOLLOWERS)
        })
        .await;
        assert_eq!(log.count(tracing::Level::INFO, &["stream ended early"]), 0);
        progress.over.store(true, Ordering::Relaxed);
        while let Some(ended) = within("the last words", streams.join_next()).await {
            ended.unwrap();
        }
        path.end().await;
    });
}
