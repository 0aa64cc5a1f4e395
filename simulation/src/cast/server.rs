//! Proxy servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dialback_core::server::Strategies;
use dialback_runtime::Runtime as _;
use dialback_runtime::metrics::ServerMetrics;
use dialback_runtime::server::{FrontendMode, Server, ServerConfig, Stopped};

use super::job::{Job, start};
use super::pki::server_tls;
use crate::host::Host;

/// The name that every server's certificate is for, and that agents look up.
pub const SERVER_NAME: &str = "proxy.test";
/// Where agents connect.
pub(crate) const AGENT_PORT: u16 = 8091;
/// Where frontends connect, by what they speak.
pub(crate) const GRPC_PORT: u16 = 8090;
pub(crate) const CONNECT_PORT: u16 = 8443;
/// The same for those who have certificates.
pub(crate) const CERTIFIED_GRPC_PORT: u16 = 8131;
pub(crate) const CERTIFIED_CONNECT_PORT: u16 = 8132;

/// How a server differs from the defaults.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// All but its identity, which is the name of its host.
    pub config: ServerConfig,
    /// How agents are chosen, as on the command line.
    pub strategies: &'static str,
    /// Frontends may also come over TLS, on ports of their own, and have to show certificates there.
    pub certified_frontends: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            config: ServerConfig::default(),
            strategies: "default",
            certified_frontends: false,
        }
    }
}

/// A proxy server that runs until it is stopped or its host killed.
#[derive(Debug)]
pub struct SimulatedServer {
    /// Where it runs.
    pub host: Host,
    /// The server itself.
    pub server: Arc<Server<Host>>,
}

impl SimulatedServer {
    /// Starts a server on a host that runs none. `id` is what agents tell servers by: a new one for each that is
    /// started anew, as a pod has.
    ///
    /// # Panics
    /// When its ports are taken.
    #[must_use]
    pub fn start(host: &Host, id: &str, options: ServerOptions) -> Self {
        let config = ServerConfig {
            server_id: id.to_owned(),
            ..options.config
        };
        let strategies: Strategies = options.strategies.parse().expect("known strategies");
        let metrics = Arc::new(ServerMetrics::default());
        let server = Server::new(host.clone(), config, strategies, metrics);
        let listen = |port| host.listen_tcp(host.address(port)).expect("a free port");
        let (agents, tls, serving) = (listen(AGENT_PORT), server_tls("h2"), Arc::clone(&server));
        host.spawn(async move { serving.serve_agents(agents, tls).await });
        let (grpc, connect) = (FrontendMode::Grpc, FrontendMode::HttpConnect);
        let mut doors = vec![(GRPC_PORT, grpc, None), (CONNECT_PORT, connect, None)];
        if options.certified_frontends {
            doors.extend([
                (CERTIFIED_GRPC_PORT, grpc, Some(server_tls("h2"))),
                (
                    CERTIFIED_CONNECT_PORT,
                    connect,
                    Some(server_tls("http/1.1")),
                ),
            ]);
        }
        for (port, mode, tls) in doors {
            let (frontends, serving) = (listen(port), Arc::clone(&server));
            let tls = tls.map(Into::into);
            host.spawn(async move { serving.serve_frontends(frontends, tls, mode).await });
        }
        Self {
            host: host.clone(),
            server,
        }
    }

    /// Where agents connect.
    #[must_use]
    pub fn agent_address(&self) -> SocketAddr {
        self.host.address(AGENT_PORT)
    }

    /// Stops it in order, as the daemon does when it is asked to end.
    #[must_use]
    pub fn stop(&self, limit: Duration) -> Job<Stopped> {
        let server = Arc::clone(&self.server);
        start(&self.host, async move { server.stop(limit).await })
    }
}
