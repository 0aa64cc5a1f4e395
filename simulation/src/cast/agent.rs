//! Proxy agents.

use std::sync::Arc;
use std::time::Duration;

use dialback_core::agent::{FleetConfig, LinkConfig};
use dialback_core::policy::DestinationRules;
use dialback_runtime::Runtime as _;
use dialback_runtime::agent::{Agent, AgentConfig};
use dialback_runtime::dial::ProxyEnvironment;
use dialback_runtime::metrics::AgentMetrics;

use super::pki::{Names, agent_tls};
use super::server::{AGENT_PORT, SERVER_NAME};
use crate::host::Host;

/// How an agent differs from the defaults.
#[derive(Clone, Debug, Default)]
pub struct AgentOptions {
    /// Bounds and timeouts of its tunnels.
    pub link: LinkConfig,
    /// How it looks for servers.
    pub fleet: FleetConfig,
    /// What it says it can reach.
    pub identifiers: String,
    /// What its certificate says that it is; it says nothing if left out.
    pub names: Option<Names>,
    /// Plain Konnectivity, as a Go agent.
    pub plain: bool,
}

/// A proxy agent that runs until it is stopped or its host killed.
#[derive(Debug)]
pub struct SimulatedAgent {
    /// Where it runs.
    pub host: Host,
    /// The agent itself.
    pub agent: Arc<Agent<Host>>,
}

impl SimulatedAgent {
    /// Starts an agent of the servers behind [`SERVER_NAME`].
    ///
    /// # Panics
    /// When its options could not work.
    #[must_use]
    pub fn start(host: &Host, id: &str, options: AgentOptions) -> Self {
        let config = AgentConfig {
            server_hosts: vec![SERVER_NAME.to_owned()],
            server_port: AGENT_PORT,
            agent_id: id.to_owned(),
            identifiers: options.identifiers,
            token_path: None,
            tls: agent_tls(options.names).into(),
            fleet: options.fleet,
            link: options.link,
            keepalive_time: Duration::from_secs(3600),
            dial_timeout: Duration::from_secs(5),
            proxy: ProxyEnvironment::default(),
            destinations: DestinationRules::default(),
            disable_extensions: options.plain,
        };
        let metrics = Arc::new(AgentMetrics::default());
        let agent = Agent::new(host.clone(), config, metrics).expect("options that work");
        let running = Arc::clone(&agent);
        host.spawn(async move { running.run().await.expect("options that work") });
        Self {
            host: host.clone(),
            agent,
        }
    }
}
