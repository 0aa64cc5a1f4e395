//! What one stream gets of a long, fast path, and what that costs its bystanders.
//!
//! These measure, so each runs alone and on a quiet machine:
//! `cargo test -p dialback-tests --release --test it long_path:: -- --ignored --nocapture --test-threads 1`.
//! `dialback bench --scenario long-path` does the same with the daemons; `harness/tests/long_path.rs` shows under
//! virtual time that windows and what is under way follow the path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::path::Path;
use dialback_tests::run::run;
use dialback_tests::server::ServerOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// The path: a round trip of 200 ms and 30 MiB/s.
const ONE_WAY: Duration = Duration::from_millis(100);
const BYTES_PER_SECOND: u64 = 30 << 20;
/// Within this time the stream has its share of the path: 80%.
const SPAN: Duration = Duration::from_secs(10);
/// What a bystander's echo may take longer than the round trip.
const EXTRA: Duration = Duration::from_millis(100);
const BYSTANDERS: usize = 4;

#[test]
#[ignore = "measures: run it alone, with --release"]
fn a_download_fills_a_long_path() {
    run(async |_| {
        let path = long_path().await;
        let source = Endpoint::start(|mut socket| async move {
            let piece = pattern(64 * 1024);
            while socket.write_all(&piece).await.is_ok() {}
        })
        .await;
        let arrived = Arc::new(AtomicU64::new(0));
        let mut stream = connect(&path.server.socket(), &source.address.to_string())
            .await
            .unwrap();
        let counter = Arc::clone(&arrived);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                counter.fetch_add(read as u64, Ordering::Relaxed);
            }
        });
        let report = measure(&path, &arrived).await;
        reading.abort();
        let _ = reading.await;
        path.end().await;
        report.judge("download");
    });
}

#[test]
#[ignore = "measures: run it alone, with --release"]
fn an_upload_fills_a_long_path() {
    run(async |_| {
        let path = long_path().await;
        let arrived = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&arrived);
        let sink = Endpoint::start(move |mut socket| {
            let counter = Arc::clone(&counter);
            async move {
                let mut buffer = vec![0; 256 * 1024];
                while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                    counter.fetch_add(read as u64, Ordering::Relaxed);
                }
            }
        })
        .await;
        let mut stream = connect(&path.server.socket(), &sink.address.to_string())
            .await
            .unwrap();
        let writing = tokio::spawn(async move {
            let piece = pattern(64 * 1024);
            while stream.write_all(&piece).await.is_ok() {}
        });
        let report = measure(&path, &arrived).await;
        writing.abort();
        let _ = writing.await;
        path.end().await;
        report.judge("upload");
    });
}

async fn long_path() -> Path {
    let path = Path::start(ServerOptions::default(), AgentOptions::default()).await;
    for direction in [&path.relay.towards_target, &path.relay.back] {
        direction.delay(ONE_WAY);
        direction.throttle(BYTES_PER_SECOND);
    }
    path
}

struct Report {
    /// What arrived in each second.
    seconds: Vec<u64>,
    /// The bystanders' round trips while the path was full.
    echoes: Vec<Duration>,
}

/// Watches what arrives for as long as the target allows and a second more, and echoes meanwhile.
async fn measure(path: &Path, arrived: &AtomicU64) -> Report {
    let echo = Endpoint::echo().await;
    let mut bystanders = JoinSet::new();
    let end = Instant::now() + SPAN + Duration::from_secs(1);
    for _ in 0..BYSTANDERS {
        let address = echo.address.to_string();
        let mut stream = connect(&path.server.socket(), &address).await.unwrap();
        bystanders.spawn(async move {
            let mut echoes = Vec::new();
            while Instant::now() < end {
                let began = Instant::now();
                exchange(&mut stream, &pattern(100)).await;
                echoes.push(began.elapsed());
                sleep(Duration::from_millis(10)).await;
            }
            echoes
        });
    }
    let (mut seconds, mut before) = (Vec::new(), arrived.load(Ordering::Relaxed));
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    while Instant::now() + Duration::from_millis(900) < end {
        ticks.tick().await;
        let now = arrived.load(Ordering::Relaxed);
        seconds.push(now - before);
        before = now;
    }
    let mut echoes = bystanders.join_all().await.concat();
    echoes.sort_unstable();
    Report { seconds, echoes }
}

impl Report {
    fn judge(&self, what: &str) {
        let percent: Vec<u64> = self
            .seconds
            .iter()
            .map(|bytes| bytes * 100 / BYTES_PER_SECOND)
            .collect();
        let at = |share: usize| self.echoes[(self.echoes.len() - 1) * share / 100];
        eprintln!(
            "{what}: {percent:?} % of the path in each second; {} echoes, median {:?}, p99 {:?}, longest {:?}",
            self.echoes.len(),
            at(50),
            at(99),
            at(100),
        );
        assert!(percent[percent.len() - 1] >= 80, "{percent:?}");
        assert!(at(99) <= 2 * ONE_WAY + EXTRA, "{:?}", at(99));
    }
}
