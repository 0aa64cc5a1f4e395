//! The rest of the traffic, which goes on whatever one peer does.

use dialback_runtime::server::FrontendMode;

use crate::endpoint::Endpoint;
use crate::pair::{Pair, PairOptions};
use crate::tunnel::Tunnel;

/// What a played agent says about itself so that dials to [`PLAYED`] are its own.
pub const PLAYED_IDENTIFIERS: &str = "host=played.test";
/// A destination that only a played agent with [`PLAYED_IDENTIFIERS`] is chosen for.
pub const PLAYED: &str = "played.test:1";

/// A pair with one well-behaved agent, a stream that is open all the time, and an endpoint for new ones.
pub struct Canary {
    pub pair: Pair,
    pub echo: Endpoint,
    mode: FrontendMode,
    open: Tunnel,
}

impl Canary {
    /// The real agent serves every destination but [`PLAYED`].
    pub async fn start(mut options: PairOptions) -> Self {
        options.server.strategies = "destHost,defaultRoute";
        options.agent.identifiers = "default-route=true".to_owned();
        let mode = options.server.mode;
        let pair = Pair::start(options).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let open = Tunnel::dial(mode, &pair.socket(), &address).await.unwrap();
        Self {
            pair,
            echo,
            mode,
            open,
        }
    }

    /// The open stream carries bytes, and a new one too; nothing else is left at either end.
    pub async fn sings(&mut self) {
        self.sings_with(1).await;
    }

    /// As [`Canary::sings`], with `streams` at the server, the open one among them.
    pub async fn sings_with(&mut self, streams: usize) {
        let address = self.echo.address.to_string();
        self.open.exchange(b"still here").await;
        let fresh = Tunnel::dial(self.mode, &self.pair.socket(), &address).await;
        let mut fresh = fresh.unwrap();
        fresh.exchange(b"me too").await;
        fresh.close().await;
        self.pair.server.streams(streams).await;
        self.pair.agents[0].streams(1).await;
    }

    /// Ends everything in order.
    pub async fn end(self) {
        drop(self.open);
        self.pair.end().await;
    }
}
