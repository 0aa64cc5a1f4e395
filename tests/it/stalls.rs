//! Resets in the middle of a stall, and stalls that plain peers have no signal for.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{connect, connect_tcp, exchange};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::wait::{PATIENCE, within};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Notify;

const DOWNLOAD: usize = 64 << 20;

/// An echo and a new dial work.
async fn others_go_on(pair: &Pair, echo: &Endpoint, open: &mut UnixStream) {
    for _ in 0..20 {
        exchange(open, b"hello").await;
    }
    let address = echo.address.to_string();
    let mut fresh = connect(&pair.socket(), &address).await.unwrap();
    exchange(&mut fresh, b"again").await;
}

/// Writes until nothing more is taken, as long as it takes for everything on the way to be full.
async fn fill<S: AsyncWrite + Unpin>(stream: &mut S) {
    let chunk = pattern(1 << 20);
    let quiet = Duration::from_millis(300);
    while let Ok(written) = tokio::time::timeout(quiet, stream.write(&chunk)).await {
        written.unwrap();
    }
}

/// The agent's write meets the reset first, and a read finds no more than an end then.
#[test]
fn a_reset_while_the_endpoint_is_written_to_is_no_orderly_end() {
    for plain in [false, true] {
        run(async |_| {
            let pair = Pair::start(PairOptions::default().plain(plain)).await;
            let enough = Arc::new(Notify::new());
            let waiting = Arc::clone(&enough);
            let endpoint = Endpoint::start(move |socket| {
                let waiting = Arc::clone(&waiting);
                async move {
                    waiting.notified().await;
                    socket.set_zero_linger().unwrap();
                }
            })
            .await;
            let address = endpoint.address.to_string();
            let mut stream = connect_tcp(pair.server.tcp, &address).await.unwrap();
            fill(&mut stream).await;
            enough.notify_one();
            let end = within("the end", stream.read_u8()).await.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::ConnectionReset);
            drop(stream);
            pair.end().await;
        });
    }
}

/// Towards a plain peer there is no signal for one stream: the reader that takes nothing is given up in the end,
/// with a word in the log, and the tunnel moves on.
#[test]
fn towards_a_plain_agent_a_slow_frontend_is_reset_in_the_end() {
    run(async |log| {
        let mut options = PairOptions::default().plain(true);
        let mux = &mut options.server.config.link.mux;
        mux.slow_stream_timeout = Duration::from_millis(300);
        mux.receive_buffer_bytes = 256 * 1024;
        let pair = Pair::start(options).await;
        let (echo, source) = (Endpoint::echo().await, Endpoint::source(DOWNLOAD).await);
        let address = echo.address.to_string();
        let mut open = connect(&pair.socket(), &address).await.unwrap();
        let address = source.address.to_string();
        let mut stalled = connect(&pair.socket(), &address).await.unwrap();
        stalled.read_u8().await.unwrap();
        log.tells(&["agent-0", "reader took nothing for the slow-stream timeout"])
            .await;
        others_go_on(&pair, &echo, &mut open).await;
        let mut rest = Vec::new();
        // What had been buffered may come, or be cut.
        let _ = within("the stream is cut", stalled.read_to_end(&mut rest)).await;
        assert!(rest.len() < DOWNLOAD / 2, "{} bytes", rest.len());
        drop((open, stalled));
        pair.end().await;
    });
}

#[test]
fn towards_a_plain_server_a_slow_endpoint_is_reset_in_the_end() {
    run(async |log| {
        let mut options = PairOptions::default().plain(true);
        let mux = &mut options.agent.link.mux;
        mux.slow_stream_timeout = Duration::from_millis(300);
        mux.receive_buffer_bytes = 256 * 1024;
        let pair = Pair::start(options).await;
        let (echo, black_hole) = (Endpoint::echo().await, Endpoint::black_hole().await);
        let address = echo.address.to_string();
        let mut open = connect(&pair.socket(), &address).await.unwrap();
        let address = black_hole.address.to_string();
        let mut stalled = connect(&pair.socket(), &address).await.unwrap();
        let chunk = pattern(1 << 20);
        let writing = async { while stalled.write(&chunk).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, writing).await.unwrap();
        log.tells(&["reader took nothing for the slow-stream timeout"])
            .await;
        others_go_on(&pair, &echo, &mut open).await;
        drop((open, stalled));
        pair.end().await;
    });
}
