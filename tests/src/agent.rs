//! An agent in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dialback_core::agent::{FleetConfig, LinkConfig};
use dialback_core::policy::DestinationRules;
use dialback_runtime::Runtime;
use dialback_runtime::agent::{Agent, AgentConfig};
use dialback_runtime::dial::ProxyEnvironment;
use dialback_runtime::metrics::AgentMetrics;
use dialback_tokio::TokioRuntime;

use crate::pki::Pki;
use crate::task::Task;
use crate::wait::{eventually, within};

/// How an agent differs from the defaults.
#[derive(Clone)]
pub struct AgentOptions {
    pub id: String,
    pub link: LinkConfig,
    pub fleet: FleetConfig,
    pub dial_timeout: Duration,
    pub identifiers: String,
    /// The organisation in its certificate, if any.
    pub organization: Option<&'static str>,
    /// Where it connects to.
    pub destinations: DestinationRules,
    /// Plain Konnectivity, as towards a Go peer.
    pub plain: bool,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            id: "agent-0".to_owned(),
            link: LinkConfig::default(),
            fleet: eager(),
            dial_timeout: Duration::from_secs(5),
            identifiers: String::new(),
            organization: None,
            destinations: DestinationRules::default(),
            plain: false,
        }
    }
}

/// Tries again soon, so that tests need not wait.
#[must_use]
pub fn eager() -> FleetConfig {
    FleetConfig {
        sync_interval: Duration::from_millis(20),
        sync_interval_cap: Duration::from_millis(100),
        ..FleetConfig::default()
    }
}

/// An agent that runs until it is stopped or dropped.
pub struct RunningAgent<R: Runtime = TokioRuntime> {
    pub agent: Arc<Agent<R>>,
    task: Option<Task<R, ()>>,
}

impl RunningAgent {
    /// Starts an agent of the server at `server`, on the runtime of the test; it is not connected yet.
    #[must_use]
    pub fn start(pki: &Pki, server: SocketAddr, options: AgentOptions) -> Self {
        Self::start_on(&TokioRuntime::current().unwrap(), pki, server, options)
    }
}

impl<R: Runtime> RunningAgent<R> {
    /// Starts an agent of the server at `server`; it is not connected yet.
    #[must_use]
    pub fn start_on(runtime: &R, pki: &Pki, server: SocketAddr, options: AgentOptions) -> Self {
        let config = AgentConfig {
            server_hosts: vec![server.ip().to_string()],
            server_port: server.port(),
            agent_id: options.id,
            identifiers: options.identifiers,
            token_path: None,
            tls: match options.organization {
                Some(organization) => pki.client_in(organization, &["h2"]).into(),
                None => pki.client(&["h2"]).into(),
            },
            fleet: options.fleet,
            link: options.link,
            keepalive_time: Duration::from_secs(3600),
            dial_timeout: options.dial_timeout,
            proxy: ProxyEnvironment::default(),
            destinations: options.destinations,
            disable_extensions: options.plain,
        };
        let metrics = Arc::new(AgentMetrics::default());
        let agent = Agent::new(runtime.clone(), config, metrics).unwrap();
        let running = Arc::clone(&agent);
        let task = Task::start(runtime, async move { running.run().await.unwrap() });
        Self {
            agent,
            task: Some(task),
        }
    }

    /// Waits until the agent is connected to `count` servers.
    pub async fn connected(&self, count: usize) {
        eventually(&format!("connected to {count} servers"), || {
            self.agent.connected() == count
        })
        .await;
    }

    /// Waits until it carries `count` streams, pending dials included.
    pub async fn streams(&self, count: usize) {
        eventually(&format!("{count} streams at the agent"), || {
            self.agent.stream_count() == count
        })
        .await;
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) {
        self.agent.stop();
        if let Some(task) = self.task.take() {
            within("the agent stops", task.join()).await;
        }
        self.streams(0).await;
    }
}

impl<R: Runtime> Drop for RunningAgent<R> {
    fn drop(&mut self) {
        self.agent.stop();
    }
}
