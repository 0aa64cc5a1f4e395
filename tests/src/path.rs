//! A server and its agent, with a network between them that can fail.

use std::time::Duration;

use crate::agent::{AgentOptions, RunningAgent};
use crate::pki::Pki;
use crate::relay::Relay;
use crate::server::{RunningServer, ServerOptions};

/// A server and an agent that reaches it through a relay.
pub struct Path {
    pub server: RunningServer,
    pub relay: Relay,
    pub agent: RunningAgent,
}

impl Path {
    /// Starts all three; the agent is connected.
    pub async fn start(server: ServerOptions, agent: AgentOptions) -> Self {
        let pki = Pki::new();
        let server = RunningServer::start(&pki, server);
        let relay = Relay::start(vec![server.agent_address]).await;
        let agent = RunningAgent::start(&pki, relay.address, agent);
        server.agents(1).await;
        agent.connected(1).await;
        Self {
            server,
            relay,
            agent,
        }
    }

    /// Waits until no stream is left, and stops everything.
    pub async fn end(self) {
        self.server.streams(0).await;
        self.agent.streams(0).await;
        self.server.stop(Duration::ZERO).await;
        self.agent.stop().await;
    }
}
