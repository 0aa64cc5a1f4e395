//! One stream that nobody reads stalls only itself.

use std::time::Duration;

use dialback_tests::endpoint::Endpoint;
use dialback_tests::frontend::connect;
use dialback_tests::pair::{Pair, PairOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// An echo and a new dial work.
async fn others_go_on(pair: &Pair, echo: &Endpoint, open: &mut UnixStream) {
    for _ in 0..20 {
        open.write_all(b"hello").await.unwrap();
        let mut got = [0; 5];
        open.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"hello");
    }
    let mut fresh = connect(&pair.socket(), &echo.address.to_string()).await.unwrap();
    fresh.write_all(b"again").await.unwrap();
    let mut got = [0; 5];
    fresh.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontend_that_reads_nothing_stalls_only_itself() {
    let pair = Pair::start(PairOptions::default()).await;
    let (echo, source) = (Endpoint::echo().await, Endpoint::source(64 << 20).await);
    let mut open = connect(&pair.socket(), &echo.address.to_string()).await.unwrap();
    let mut stalled = connect(&pair.socket(), &source.address.to_string()).await.unwrap();
    // Once some of it has come, all of it is under way as far as it gets.
    stalled.read_u8().await.unwrap();
    others_go_on(&pair, &echo, &mut open).await;
    // Not one byte was lost meanwhile.
    let mut rest = Vec::new();
    stalled.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), (64 << 20) - 1);
    drop(open);
    pair.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_reads_nothing_stalls_only_itself() {
    let pair = Pair::start(PairOptions::default()).await;
    let (echo, black_hole) = (Endpoint::echo().await, Endpoint::black_hole().await);
    let mut open = connect(&pair.socket(), &echo.address.to_string()).await.unwrap();
    let mut stalled = connect(&pair.socket(), &black_hole.address.to_string()).await.unwrap();
    let chunk = vec![7; 1 << 20];
    // Written until nothing more is taken: everything between here and the endpoint is full then.
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), stalled.write(&chunk)).await {
        written.unwrap();
    }
    others_go_on(&pair, &echo, &mut open).await;
}
