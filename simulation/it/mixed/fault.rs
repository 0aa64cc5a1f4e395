//! What can go wrong.

use std::time::Duration;

use dialback_simulation::Told;
use fastrand::Rng;

use super::plan::{Kind, millis, told};

/// Servers and agents go by their index.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Connections of an agent and a server are cut.
    TunnelCut(usize, usize, Told),
    /// An agent and a server don't reach each other for a while.
    Parted(usize, usize, Duration),
    /// The agent does not reach the server for a while.
    AgentUnheard(usize, usize, Duration),
    /// The server does not reach the agent for a while.
    ServerUnheard(usize, usize, Duration),
    /// Connections of the frontends and a server are cut.
    FrontendsCut(usize, Told),
    /// Connections of the endpoints and an agent are cut.
    EndpointsCut(usize, Told),
    /// A server's process is killed, and started again after a while.
    ServerKilled(usize, Duration),
    /// A server is stopped in order, with so much time for what runs, and started again.
    ServerStopped(usize, Duration),
    /// An agent's process is killed, and started again after a while.
    AgentKilled(usize, Duration),
    /// An agent is drained, then stopped, and started again.
    AgentRolled(usize, Duration),
    /// The plug of an agent's machine is pulled, and it is switched on again after a while.
    AgentPowerless(usize, Duration),
}

impl Fault {
    pub(super) fn random(rng: &mut Rng, kind: Kind, servers: usize, agents: usize) -> Self {
        let (server, agent) = (rng.usize(..servers), rng.usize(..agents));
        let longest = if rng.bool() { 1000 } else { 40_000 };
        let while_ = millis(rng, 0..=longest);
        let choices = match kind {
            Kind::Mixed => 11,
            Kind::Resumed => 4,
        };
        match rng.u8(..choices) {
            0 => Self::TunnelCut(agent, server, told(rng)),
            1 => Self::Parted(agent, server, while_),
            2 => Self::AgentUnheard(agent, server, while_),
            3 => Self::ServerUnheard(agent, server, while_),
            4 => Self::FrontendsCut(server, told(rng)),
            5 => Self::EndpointsCut(agent, told(rng)),
            6 => Self::ServerKilled(server, while_),
            7 => Self::ServerStopped(server, while_ / 4),
            8 => Self::AgentKilled(agent, while_),
            9 => Self::AgentRolled(agent, while_ / 4),
            _ => Self::AgentPowerless(agent, while_),
        }
    }

    /// A process ends whose system closes its sockets in order.
    pub(super) fn kills(&self) -> bool {
        matches!(self, Self::ServerKilled(..) | Self::AgentKilled(..))
    }
}
