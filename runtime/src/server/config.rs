//! What an operator sets for a proxy server.

use std::sync::Arc;
use std::time::Duration;

use dialback_core::connect::MAX_HEADER_BYTES;
use dialback_core::server::{LinkConfig, ProxyStreamConfig};

use dialback_core::throttle::ThrottleConfig;

use super::audit::AuditSink;
use super::authentication::AgentAuthenticator;

/// The behaviour of a server; listeners and certificates are given apart.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// `--server-id`: this instance's identity, told to every agent.
    pub server_id: String,
    /// `--server-count`: how many instances an agent is to find behind the address it dials.
    pub server_count: i64,
    /// Bounds and timeouts of every agent's tunnel.
    pub link: LinkConfig,
    /// Bounds and timeouts of gRPC frontends' streams.
    pub proxy_stream: ProxyStreamConfig,
    /// `--keepalive-time`: an agent's connection is pinged after so long without a read.
    pub keepalive_time: Duration,
    /// `--frontend-keepalive-time`: the same for gRPC frontends.
    pub frontend_keepalive_time: Duration,
    /// How long a frontend's HTTP request may take to arrive. Default 60 s, as in Go's `net/http` use there.
    pub request_timeout: Duration,
    /// How long TLS and the HTTP/2 preface may take. Default 120 s, grpc-go's accept timeout.
    pub handshake_timeout: Duration,
    /// Frontend connections at a time; further ones wait in the listener's backlog. Default 20,000.
    pub max_frontends: usize,
    /// Agent connections at a time; further ones wait in the listener's backlog. Default 20,000.
    pub max_agents: usize,
    /// TLS handshakes of agents at a time; further ones wait for their turn, in the order in which they came. Default 128.
    pub max_agent_handshakes: usize,
    /// Bytes of the header of a frontend's HTTP request. Default 1 MiB, as in Go's `net/http`.
    pub max_http_header_bytes: usize,
    /// Bytes of a gRPC call's metadata, names, values and 32 for each (RFC 9113, section 6.5.2). Default 64 KiB.
    pub max_grpc_metadata_bytes: u32,
    /// Whether a dial that its agent does not answer in the usual time is given to another agent too, see
    /// [`Hedging`](dialback_core::server::Hedging). Default false, as in the reference.
    pub dial_hedging: bool,
    /// The zone of this server: agents with the label `zone:` of it are preferred. Default none.
    pub zone: Option<String>,
    /// How much each frontend, tenant, agent and destination may have. Default `None`: as much as there is.
    pub throttle: Option<ThrottleConfig>,
    /// Who takes what is recorded of agents and streams. Default `None`: nothing is.
    pub audit: Option<Arc<dyn AuditSink>>,
    /// Whether plain Konnectivity is spoken even to agents that offer extensions. Default false.
    pub disable_extensions: bool,
    /// Who looks at the tokens that agents show. Default none: an agent needs no token, and certificates are all that
    /// keeps strangers away.
    pub authenticator: Option<Arc<dyn AgentAuthenticator>>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            server_id: String::new(),
            server_count: 1,
            link: LinkConfig::default(),
            proxy_stream: ProxyStreamConfig::default(),
            keepalive_time: Duration::from_secs(3600),
            frontend_keepalive_time: Duration::from_secs(3600),
            request_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(120),
            max_frontends: 20_000,
            max_agents: 20_000,
            max_agent_handshakes: 128,
            max_http_header_bytes: MAX_HEADER_BYTES,
            max_grpc_metadata_bytes: 64 * 1024,
            dial_hedging: false,
            zone: None,
            throttle: None,
            audit: None,
            disable_extensions: false,
            authenticator: None,
        }
    }
}
