//! The Connectivity API: dials and their streams.

use std::sync::Arc;

use dialback_runtime::Runtime;
use dialback_runtime::connectivity::{DialError, Dialer, ProxyAddress, Route};
use dialback_runtime::metrics::ClientMetrics;
use dialback_runtime::server::FrontendMode;
use dialback_tests::endpoint::{ClosedPort, Endpoint, pattern};
use dialback_tests::pair::PairOptions;
use dialback_tests::world::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use super::KINDS;

pub(super) async fn bytes_go_through_a_dialer_and_come_back<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let proxy = ProxyAddress::Unix(pair.socket());
        let route = match mode {
            FrontendMode::Grpc => Route::Grpc(proxy),
            FrontendMode::HttpConnect => Route::HttpConnect(proxy),
        };
        let metrics = Arc::new(ClientMetrics::new());
        let dialer = Dialer::new(world.runtime.clone(), &route, metrics).unwrap();
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let closed = ClosedPort::new();
        let nobody = closed.address.to_string();
        world
            .inside(async move {
                let stream = dialer.dial(&address).await.unwrap();
                let sent = pattern(1 << 20);
                let mut got = vec![0; sent.len()];
                let (mut reader, mut writer) = split(stream);
                let (wrote, read) =
                    tokio::join!(writer.write_all(&sent), reader.read_exact(&mut got));
                wrote.unwrap();
                read.unwrap();
                assert!(got == sent, "an echo is another");
                let refused = dialer.dial(&nobody).await.unwrap_err();
                assert!(matches!(refused, DialError::Refused { .. }), "{refused}");
            })
            .await;
        pair.end().await;
    }
}
