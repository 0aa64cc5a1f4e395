//! What an operator sets for a proxy agent.

use std::path::PathBuf;
use std::time::Duration;

use dialback_core::agent::{FleetConfig, LinkConfig};
use dialback_core::policy::DestinationRules;
use rustls::pki_types::ServerName;

use crate::dial::ProxyEnvironment;
use crate::grpc::{InvalidAuthority, Target};
use crate::tls::Reloadable;

/// The behaviour of an agent.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// `--proxy-server-host`: the names or addresses that servers are reached by, at least one; each is also what the
    /// certificates of the servers there are verified against.
    pub server_hosts: Vec<String>,
    /// `--proxy-server-port`.
    pub server_port: u16,
    /// `--agent-id`: who this agent says it is.
    pub agent_id: String,
    /// `--agent-identifiers`: what it says it can reach, a URL query string; sent as it is.
    pub identifiers: String,
    /// `--service-account-token-path`: read again for every attempt to connect.
    pub token_path: Option<PathBuf>,
    /// TLS towards the servers; each attempt uses what it is then.
    pub tls: Reloadable<rustls::ClientConfig>,
    /// How servers are looked for.
    pub fleet: FleetConfig,
    /// Bounds and timeouts of every tunnel.
    pub link: LinkConfig,
    /// `--keepalive-time`: a server's connection is pinged after so long without a read.
    pub keepalive_time: Duration,
    /// How long dialling an endpoint may take, name look-up included. Default in the daemon: 5 s.
    pub dial_timeout: Duration,
    /// `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy: ProxyEnvironment,
    /// `--allow-destination` and `--deny-destination`: where it connects to, whatever servers say. Default everywhere.
    pub destinations: DestinationRules,
    /// Whether plain Konnectivity is spoken even to servers that know extensions.
    pub disable_extensions: bool,
}

/// An agent's configuration that could not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentConfigError {
    /// No host of servers is known.
    #[error("no proxy server host")]
    NoServer,
    /// The server's host and port can't be named in a request.
    #[error("proxy server address: {0}")]
    Server(#[from] InvalidAuthority),
    /// The server's host can't be verified: it is neither a DNS name nor an address.
    #[error("proxy server host {0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
}

impl AgentConfig {
    /// An agent of the servers at `server_host`, with the defaults of the `proxy-agent` program for all else; it finds
    /// no proxy in its environment.
    #[must_use]
    pub fn new(
        server_host: &str,
        server_port: u16,
        agent_id: &str,
        tls: impl Into<Reloadable<rustls::ClientConfig>>,
    ) -> Self {
        Self {
            server_hosts: vec![server_host.to_owned()],
            server_port,
            agent_id: agent_id.to_owned(),
            identifiers: String::new(),
            token_path: None,
            tls: tls.into(),
            fleet: FleetConfig::default(),
            link: LinkConfig::default(),
            keepalive_time: Duration::from_secs(3600),
            dial_timeout: Duration::from_secs(5),
            proxy: ProxyEnvironment::default(),
            destinations: DestinationRules::default(),
            disable_extensions: false,
        }
    }

    /// The hosts, ready to be dialled.
    pub(super) fn servers(&self) -> Result<Vec<ServerHost>, AgentConfigError> {
        if self.server_hosts.is_empty() {
            return Err(AgentConfigError::NoServer);
        }
        let hosts = self.server_hosts.iter();
        hosts
            .map(|host| ServerHost::new(host, self.server_port))
            .collect()
    }
}

/// A host that servers are reached by.
#[derive(Clone, Debug)]
pub(super) struct ServerHost {
    pub(super) host: String,
    /// `host:port`.
    pub(super) address: String,
    /// Whom its certificate has to be for.
    pub(super) name: ServerName<'static>,
    pub(super) target: Target,
}

impl ServerHost {
    fn new(host: &str, port: u16) -> Result<Self, AgentConfigError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| AgentConfigError::ServerName(host.to_owned()))?;
        let address = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        Ok(Self {
            host: host.to_owned(),
            target: Target::new(true, &address)?,
            address,
            name,
        })
    }
}
