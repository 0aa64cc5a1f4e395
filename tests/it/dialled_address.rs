//! The server learns which address an agent connected to.

use dialback_runtime::server::FrontendMode;
use dialback_tests::endpoint::Endpoint;
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::tunnel::Tunnel;
use dialback_tests::wait::eventually;
use tracing::Level;

const ESTABLISHED: &str = "stream established";

#[test]
fn the_address_behind_a_name_is_known_at_the_server() {
    run(async |log| {
        for mode in [FrontendMode::HttpConnect, FrontendMode::Grpc] {
            let pair = Pair::start(PairOptions::default().mode(mode)).await;
            let echo = Endpoint::echo().await;
            let name = format!("localhost:{}", echo.address.port());
            // A gRPC frontend fails where its answer holds the address.
            let mut stream = Tunnel::dial(mode, &pair.socket(), &name).await.unwrap();
            stream.exchange(b"by its name").await;
            let line = [ESTABLISHED, &format!(" address={} ", echo.address)];
            eventually("the address is known", || {
                log.count(Level::DEBUG, &line) == 1
            })
            .await;
            stream.close().await;
            pair.end().await;
        }
    });
}

#[test]
fn a_peer_without_extensions_is_neither_told_nor_tells() {
    run(async |log| {
        let mode = FrontendMode::Grpc;
        let pair = Pair::start(PairOptions::default().mode(mode).plain(true)).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let mut stream = Tunnel::dial(mode, &pair.socket(), &address).await.unwrap();
        stream.exchange(b"plain").await;
        eventually("the stream is established", || {
            log.count(Level::DEBUG, &[ESTABLISHED]) == 1
        })
        .await;
        assert_eq!(log.count(Level::DEBUG, &[ESTABLISHED, " address="]), 0);
        stream.close().await;
        pair.end().await;
    });
}
