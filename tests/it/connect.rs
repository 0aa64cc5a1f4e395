//! HTTP-CONNECT through a server and an agent.

use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::connect;
use dialback_tests::pair::{Pair, PairOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn bytes_come_back_from_an_echo() {
    let pair = Pair::start(PairOptions::default()).await;
    let echo = Endpoint::echo().await;
    let mut stream = connect(&pair.socket(), &echo.address.to_string()).await.unwrap();
    let sent = pattern(3 << 20);
    let (mut read, mut write) = stream.split();
    let mut got = vec![0; sent.len()];
    let (wrote, was_read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut got));
    wrote.unwrap();
    was_read.unwrap();
    assert!(got == sent);
    drop(stream);
    pair.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_before_the_endpoints_end_is_delivered() {
    for plain in [false, true] {
        let pair = Pair::start(PairOptions { plain, ..PairOptions::default() }).await;
        let source = Endpoint::source(20 << 20).await;
        let mut stream = connect(&pair.socket(), &source.address.to_string()).await.unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        assert!(got == pattern(20 << 20), "{} bytes", got.len());
        pair.idle().await;
    }
}
