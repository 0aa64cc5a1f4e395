//! One stream that nobody reads stalls only itself.

use dialback_runtime::Runtime;
use dialback_runtime::server::FrontendMode;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::tunnel::Tunnel;
use dialback_tests::wait::within;
use dialback_tests::world::World;

const MODES: [FrontendMode; 2] = [FrontendMode::HttpConnect, FrontendMode::Grpc];
/// Far more than everything between a frontend and its endpoint holds.
const BYTES: usize = 48 << 20;

/// An open stream and a new one.
struct Others {
    mode: FrontendMode,
    echo: Endpoint,
    open: Tunnel,
}

impl Others {
    async fn start<R: Runtime>(pair: &Pair<R>, mode: FrontendMode) -> Self {
        let echo = Endpoint::echo().await;
        let open = Tunnel::dial(mode, &pair.socket(), &echo.address.to_string()).await;
        let open = open.unwrap();
        Self { mode, echo, open }
    }

    async fn go_on<R: Runtime>(&mut self, pair: &Pair<R>) {
        for _ in 0..20 {
            self.open.exchange(b"hello").await;
        }
        let address = self.echo.address.to_string();
        let fresh = Tunnel::dial(self.mode, &pair.socket(), &address).await;
        let mut fresh = fresh.unwrap();
        fresh.exchange(b"again").await;
        fresh.close().await;
    }
}

pub(super) async fn a_frontend_that_reads_nothing_stalls_only_itself<R: Runtime>(world: &World<R>) {
    for mode in MODES {
        let pair = world.pair(PairOptions::default().mode(mode)).await;
        let mut others = Others::start(&pair, mode).await;
        let source = Endpoint::source(BYTES).await;
        let stalled = Tunnel::dial(mode, &pair.socket(), &source.address.to_string()).await;
        let mut stalled = stalled.unwrap();
        // Once some of it has come, all of it is under way as far as it gets.
        let mut got = stalled.some().await.unwrap();
        others.go_on(&pair).await;
        // Not one byte was lost meanwhile.
        got.extend(stalled.rest().await.unwrap());
        assert!(got == pattern(BYTES), "{} bytes", got.len());
        drop(stalled);
        others.open.close().await;
        pair.end().await;
    }
}

pub(super) async fn an_endpoint_that_reads_nothing_stalls_only_itself<R: Runtime>(
    world: &World<R>,
) {
    for mode in MODES {
        let pair = world.pair(PairOptions::default().mode(mode)).await;
        let mut others = Others::start(&pair, mode).await;
        let black_hole = Endpoint::black_hole().await;
        let stalled = Tunnel::dial(mode, &pair.socket(), &black_hole.address.to_string()).await;
        let mut stalled = stalled.unwrap();
        let chunk = pattern(1 << 20);
        {
            let mut taken = 0;
            let sending = async {
                while taken < BYTES {
                    stalled.send(&chunk).await.unwrap();
                    taken += chunk.len();
                }
            };
            tokio::select! {
                () = sending => panic!("{BYTES} bytes went where nobody reads"),
                () = others.go_on(&pair) => {}
            }
        }
        // The endpoint goes, and with it what waited for it. On a Unix socket who has nothing more to send may see
        // a mere end.
        drop(black_hole);
        let cut = async { while stalled.send(&chunk).await.is_ok() {} };
        within("the stream's end", cut).await;
        assert!(mode == FrontendMode::HttpConnect || stalled.rest().await.is_err());
        drop(stalled);
        others.open.close().await;
        pair.end().await;
    }
}
