//! Bytes both ways: all of them, in order, over HTTP-CONNECT and gRPC.

use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_tests::endpoint::{ClosedPort, Endpoint, HangingPort, pattern, pattern_from};
use dialback_tests::pair::PairOptions;
use dialback_tests::tunnel::Tunnel;
use dialback_tests::wait::within;
use dialback_tests::world::World;
use tokio::task::JoinSet;

use super::KINDS;

pub(super) async fn bytes_come_back_from_an_echo<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let echo = Endpoint::echo().await;
        let tunnel = Tunnel::dial(mode, &pair.socket(), &echo.address.to_string()).await;
        let mut tunnel = tunnel.unwrap();
        for bytes in [1, 1 << 20, 10] {
            tunnel.exchange(&pattern(bytes)).await;
        }
        tunnel.close().await;
        pair.end().await;
    }
}

pub(super) async fn everything_before_the_endpoints_end_is_delivered<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let source = Endpoint::source(3 << 20).await;
        let tunnel = Tunnel::dial(mode, &pair.socket(), &source.address.to_string()).await;
        let mut tunnel = tunnel.unwrap();
        let got = tunnel.rest().await.unwrap();
        assert!(got == pattern(3 << 20), "{} bytes", got.len());
        drop(tunnel);
        pair.end().await;
    }
}

/// The reference throws away what its agent has not written yet when the frontend closes.
pub(super) async fn everything_before_the_frontends_end_is_delivered<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let (sink, mut delivered) = Endpoint::sink().await;
        let tunnel = Tunnel::dial(mode, &pair.socket(), &sink.address.to_string()).await;
        let mut tunnel = tunnel.unwrap();
        tunnel.send(&pattern(3 << 20)).await.unwrap();
        tunnel.close().await;
        let delivery = within("a delivery", delivered.recv()).await.unwrap();
        let got = delivery.bytes;
        assert!(got == pattern(3 << 20), "{} bytes", got.len());
        delivery.end.unwrap();
        pair.end().await;
    }
}

pub(super) async fn many_streams_keep_their_bytes_apart<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let mut options = PairOptions::default().mode(mode).plain(plain);
        options.agents = 2;
        let pair = world.pair(options).await;
        let echo = Endpoint::echo().await;
        let mut streams = JoinSet::new();
        for index in 0..50 {
            let (socket, address) = (pair.socket(), echo.address.to_string());
            streams.spawn(async move {
                let mut tunnel = Tunnel::dial(mode, &socket, &address).await.unwrap();
                for round in 0..3 {
                    let bytes = pattern_from(index + 100 * round, 20_000 + index);
                    tunnel.exchange(&bytes).await;
                }
                tunnel.close().await;
            });
        }
        while let Some(done) = within("streams end", streams.join_next()).await {
            done.unwrap();
        }
        pair.end().await;
    }
}

pub(super) async fn failed_dials_are_told<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let closed = ClosedPort::new();
        let refused = Tunnel::dial(mode, &pair.socket(), &closed.address.to_string()).await;
        let error = refused.err().unwrap();
        assert!(error.contains("connection refused"), "{error}");
        pair.end().await;
    }
}

pub(super) async fn a_dial_that_hangs_times_out<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let mut options = PairOptions::default().mode(mode).plain(plain);
        options.agent.dial_timeout = Duration::from_millis(50);
        let pair = world.pair(options).await;
        let hanging = HangingPort::start().await;
        let given_up = Tunnel::dial(mode, &pair.socket(), &hanging.address.to_string()).await;
        let error = given_up.err().unwrap();
        assert!(error.contains("i/o timeout"), "{error}");
        pair.end().await;
    }
}
