//! The Connectivity API: dials and their streams.

use std::path::PathBuf;
use std::sync::Arc;

use dialback_runtime::Runtime;
use dialback_runtime::connectivity::{DialError, Dialer, ProxyAddress, Route};
use dialback_runtime::metrics::ClientMetrics;
use dialback_runtime::server::FrontendMode;
use dialback_tests::endpoint::{ClosedPort, Endpoint, pattern};
use dialback_tests::observed::Observed;
use dialback_tests::pair::PairOptions;
use dialback_tests::world::World;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use super::KINDS;

fn dialer<R: Runtime>(
    world: &World<R>,
    mode: FrontendMode,
    socket: PathBuf,
) -> Dialer<Observed<R>> {
    let proxy = ProxyAddress::Unix(socket);
    let route = match mode {
        FrontendMode::Grpc => Route::Grpc(proxy),
        FrontendMode::HttpConnect => Route::HttpConnect(proxy),
    };
    let metrics = Arc::new(ClientMetrics::new());
    Dialer::new(world.runtime.clone(), &route, metrics).unwrap()
}

pub(super) async fn bytes_go_through_a_dialer_and_come_back<R: Runtime>(world: &World<R>) {
    for (mode, plain) in KINDS {
        let pair = world
            .pair(PairOptions::default().mode(mode).plain(plain))
            .await;
        let dialer = dialer(world, mode, pair.socket());
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

/// Between our own halves: one direction ends, the other goes on.
pub(super) async fn an_endpoint_answers_after_the_frontends_end<R: Runtime>(world: &World<R>) {
    for mode in [FrontendMode::HttpConnect, FrontendMode::Grpc] {
        let pair = world.pair(PairOptions::default().mode(mode)).await;
        let dialer = dialer(world, mode, pair.socket());
        let endpoint = Endpoint::start(|mut socket| async move {
            let mut question = Vec::new();
            socket.read_to_end(&mut question).await.unwrap();
            question.reverse();
            socket.write_all(&question).await.unwrap();
            socket.shutdown().await.unwrap();
        })
        .await;
        let address = endpoint.address.to_string();
        world
            .inside(async move {
                let mut stream = dialer.dial(&address).await.unwrap();
                let mut question = pattern(1 << 20);
                stream.write_all(&question).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                question.reverse();
                assert!(answer == question, "{} bytes", answer.len());
            })
            .await;
        pair.end().await;
    }
}
