//! A server and its agents.

use std::path::PathBuf;
use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_runtime::server::FrontendMode;
use dialback_tokio::TokioRuntime;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::agent::{AgentOptions, RunningAgent};
use crate::pki::Pki;
use crate::server::{RunningServer, ServerOptions};

/// How the pair differs from the defaults.
pub struct PairOptions {
    pub server: ServerOptions,
    /// How its agents do; they are called `agent-0`, `agent-1`, and so on.
    pub agent: AgentOptions,
    pub agents: usize,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            agent: AgentOptions::default(),
            agents: 1,
        }
    }
}

impl PairOptions {
    /// Both halves speak plain Konnectivity, or not.
    #[must_use]
    pub fn plain(mut self, plain: bool) -> Self {
        self.server.plain = plain;
        self.agent.plain = plain;
        self
    }

    /// Frontends speak gRPC.
    #[must_use]
    pub fn grpc(self) -> Self {
        self.mode(FrontendMode::Grpc)
    }

    /// What frontends speak.
    #[must_use]
    pub fn mode(mut self, mode: FrontendMode) -> Self {
        self.server.mode = mode;
        self
    }
}

/// A server and agents connected to it over mTLS.
pub struct Pair<R: Runtime = TokioRuntime> {
    pub pki: Pki,
    pub server: RunningServer<R>,
    pub agents: Vec<RunningAgent<R>>,
}

impl Pair {
    /// Starts both on the runtime of the test.
    pub async fn start(options: PairOptions) -> Self {
        Self::start_on(&TokioRuntime::current().unwrap(), options).await
    }
}

impl<R: Runtime> Pair<R> {
    /// Starts both.
    pub async fn start_on(runtime: &R, options: PairOptions) -> Self {
        let pki = Pki::new();
        let server = RunningServer::start_on(runtime, &pki, options.server);
        let agents: Vec<_> = (0..options.agents)
            .map(|index| {
                let id = format!("agent-{index}");
                let agent = AgentOptions {
                    id,
                    ..options.agent.clone()
                };
                RunningAgent::start_on(runtime, &pki, server.agent_address, agent)
            })
            .collect();
        for agent in &agents {
            agent.connected(1).await;
        }
        server.agents(options.agents).await;
        Self {
            pki,
            server,
            agents,
        }
    }

    /// The frontends' Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.server.socket()
    }

    /// A frontend's TLS connection, with nothing sent yet.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn tls_frontend(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let socket = TcpStream::connect(self.server.tls).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(self.pki.client(&[]))
            .connect(name, socket)
            .await
            .unwrap()
    }

    /// Waits until no stream is left on either side.
    pub async fn idle(&self) {
        self.server.streams(0).await;
        for agent in &self.agents {
            agent.streams(0).await;
        }
    }

    /// Waits until no stream is left, and stops everything.
    pub async fn end(self) {
        self.idle().await;
        self.server.stop(Duration::ZERO).await;
        for agent in self.agents {
            agent.stop().await;
        }
    }
}
