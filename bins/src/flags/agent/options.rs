//! What `proxy-agent` is to do, once its flags made sense.

use std::path::PathBuf;
use std::time::Duration;

use dialback_core::policy::DestinationRules;

use crate::flags::{
    CertificatePair, KubernetesOptions, LeaseCounting, ListenAddress, TunnelOptions,
};

/// The options of `proxy-agent`.
///
/// Flags without effect are missing.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The servers' name or address: `--proxy-server-host`, default 127.0.0.1.
    pub server_hosts: Vec<String>,
    /// Their port: `--proxy-server-port`, default 8091.
    pub server_port: u16,
    /// What servers' certificates are verified with: `--ca-cert`.
    pub authority: PathBuf,
    /// What is shown to servers: `--agent-cert` and `--agent-key`.
    pub certificate: Option<CertificatePair>,
    /// ALPN protocols offered before `h2`: `--alpn-proto`. None is empty or above 255 bytes.
    pub alpn_protocols: Vec<String>,
    /// The file of the token that is shown to servers: `--service-account-token-path`.
    pub token_path: Option<PathBuf>,
    /// Who this agent is: `--agent-id`. Printable ASCII, by default random; may be empty.
    pub agent_id: String,
    /// What it can reach, a URL query that servers understand: `--agent-identifiers`.
    pub identifiers: String,
    /// Where health checks and metrics are: `--health-server-host` and `--health-server-port`, default port 8093
    /// everywhere.
    pub health: ListenAddress,
    /// Where administration is: `--admin-bind-address` and `--admin-server-port`, default 127.0.0.1:8094.
    pub admin: ListenAddress,
    /// Pause between attempts to connect: `--sync-interval`, default 1 s, above zero and at most the cap.
    pub sync_interval: Duration,
    /// What failures make it grow to: `--sync-interval-cap`, default 10 s.
    pub sync_interval_cap: Duration,
    /// Whether to look for servers for ever: `--sync-forever`.
    pub sync_forever: bool,
    /// Idle time after which a server is pinged: `--keepalive-time`, default 1 h, at least 10 s.
    pub keepalive_time: Duration,
    /// Whether the admin port knows pprof's paths: `--enable-profiling`.
    pub profiling: bool,
    /// Whether the admin port has the status page: `--enable-status-page`.
    pub status_page: bool,
    /// How long streams may go on once the agent drains: `--drain-timeout`; `None`, the default, for as long as they
    /// like.
    pub drain_timeout: Option<Duration>,
    /// Where it connects to: `--allow-destination` and `--deny-destination`; everywhere by default.
    pub destinations: DestinationRules,
    /// How often certificates, keys and CAs are read again: `--certificate-reload-interval`, default 10 s; `None` for
    /// on SIGHUP only.
    pub certificate_reload_interval: Option<Duration>,
    /// How servers are counted by their Leases; `None` for not at all.
    pub leases: Option<LeaseCounting>,
    /// How to reach the Kubernetes API, which only that needs.
    pub kubernetes: KubernetesOptions,
    /// How tunnels behave.
    pub tunnel: TunnelOptions,
}
