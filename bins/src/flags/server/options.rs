//! What `proxy-server` is to do, once its flags made sense.

use std::path::PathBuf;
use std::time::Duration;

use dialback_core::server::Strategies;
use dialback_runtime::tls::TlsPolicy;

use crate::flags::limits::LimitOptions;
use crate::flags::{
    AuditOptions, CertificatePair, KubernetesOptions, LeasePublishing, ListenAddress,
    TokenAuthentication, TunnelOptions,
};

/// The options of `proxy-server`.
///
/// Flags without effect are missing.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Who this server is to agents: `--server-id`. Printable ASCII, by default random.
    pub server_id: String,
    /// How many servers agents are told to find: `--server-count`, default 1. Any number, also below 1.
    pub server_count: i64,
    /// What frontends speak: `--mode`.
    pub mode: FrontendMode,
    /// Where frontends connect.
    pub frontends: FrontendListener,
    /// Idle time after which a gRPC frontend is pinged: `--frontend-keepalive-time`, default 1 h, at least 1 s.
    pub frontend_keepalive_time: Duration,
    /// Where agents connect.
    pub agents: AgentListener,
    /// Idle time after which an agent is pinged: `--keepalive-time`, default 1 h, at least 1 s.
    pub keepalive_time: Duration,
    /// What both TLS listeners accept.
    pub tls: TlsPolicy,
    /// Where metrics are: `--admin-bind-address` and `--admin-port`, default 127.0.0.1:8095.
    pub admin: ListenAddress,
    /// Where health checks are: `--health-bind-address` and `--health-port`, default port 8092 everywhere.
    pub health: ListenAddress,
    /// How an agent is found for a dial: `--proxy-strategies`.
    pub strategies: Strategies,
    /// Whether dials may be given to a second agent: `--dial-hedging`.
    pub dial_hedging: bool,
    /// Whose agents are preferred: `--zone`.
    pub zone: Option<String>,
    /// How long a stop waits for connections to end: `--graceful-shutdown-timeout`. Default 0: it doesn't.
    pub graceful_shutdown_timeout: Duration,
    /// How long an agent may take to accept a dial, and then to answer: `--backend-dial-timeout`. `None` for our own
    /// bound, where the reference has none.
    pub backend_dial_timeout: Option<Duration>,
    /// Whether the admin port knows pprof's paths: `--enable-profiling`.
    pub profiling: bool,
    /// Whether the admin port has the status page: `--enable-status-page`.
    pub status_page: bool,
    /// How often certificates, keys and CAs are read again: `--certificate-reload-interval`, default 10 s; `None` for
    /// on SIGHUP only.
    pub certificate_reload_interval: Option<Duration>,
    /// Who may reach what: `--policy-file`; `None` for anybody anything.
    pub policy: Option<PathBuf>,
    /// How much everybody may have: `--throttle-file`; `None` for as much as there is.
    pub throttle: Option<PathBuf>,
    /// What is recorded of agents and streams; `None` for nothing.
    pub audit: Option<AuditOptions>,
    /// Whose tokens let agents in; `None` for no tokens.
    pub authentication: Option<TokenAuthentication>,
    /// How this server tells that it is there; `None` for not at all.
    pub leases: Option<LeasePublishing>,
    /// How to reach the Kubernetes API, which only the former two need.
    pub kubernetes: KubernetesOptions,
    /// How much is taken on.
    pub limits: LimitOptions,
    /// How tunnels behave.
    pub tunnel: TunnelOptions,
}

/// What frontends speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrontendMode {
    /// `ProxyService` over gRPC.
    #[default]
    Grpc,
    /// HTTP/1.1 CONNECT.
    HttpConnect,
}

/// Where frontends connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontendListener {
    /// A Unix socket, in plain text.
    Unix {
        /// Its path: `--uds-name`. With `@` in front the name of an abstract socket.
        path: PathBuf,
        /// Whether to replace a socket that is there: `--delete-existing-uds-file`.
        replace: bool,
    },
    /// TCP with mutual TLS.
    Tcp {
        /// Where: `--server-bind-address` and `--server-port`.
        address: ListenAddress,
        /// What is shown to frontends: `--server-cert` and `--server-key`.
        certificate: CertificatePair,
        /// What frontends' certificates are verified with: `--server-ca-cert`.
        client_authority: PathBuf,
    },
}

/// Where agents connect, over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentListener {
    /// Where: `--agent-bind-address` and `--agent-port`.
    pub address: ListenAddress,
    /// What is shown to agents: `--cluster-cert` and `--cluster-key`.
    pub certificate: CertificatePair,
    /// What agents' certificates are verified with: `--cluster-ca-cert`. Without it none is asked for, and any agent
    /// is accepted.
    pub client_authority: Option<PathBuf>,
}
