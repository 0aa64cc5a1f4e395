//! What a server is at.

use std::ops::Bound;

use dialback_core::LinkId;
use dialback_core::server::Link;

use super::{AgentTunnel, Agents, Server};
use crate::runtime::Runtime;
use crate::status::{LinkState, Looked, Peer, Peers, Program, Status, StatusPage, clip, describe};

impl<R: Runtime> Server<R> {
    /// A snapshot: its agents and their links, sums and counters. Costs a look at every tunnel, each under its own lock.
    #[must_use]
    pub fn status(&self, page: &StatusPage) -> Status {
        let now = self.runtime.now();
        let (shown, all) = {
            let agents = self.agents();
            (agents.page(page), agents.tunnels())
        };
        let mut totals = self.metrics.totals();
        let loads = all.iter().map(|tunnel| tunnel.with(|link| link.load()));
        for load in loads.flatten() {
            totals.add(&load);
        }
        let mut peers = Peers::new(page);
        for (agent, tenant) in shown {
            let Some(looked) = look(&agent) else { continue };
            let peer = Peer {
                id: clip(&agent.claimed.agent_id),
                identity: Some(clip(&agent.identity.name())),
                tenant,
                identifiers: describe(&agent.allowed.identifiers),
            };
            let age = now.saturating_duration_since(agent.since);
            peers.add(peer, agent.tunnel.id(), looked, age);
        }
        let (peers, next) = peers.finish();
        Status {
            program: Program::Server,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: self.config.server_id.clone(),
            uptime_seconds: now.saturating_duration_since(self.since).as_secs_f64(),
            ready: self.is_ready(),
            draining: self.stop.is_draining(),
            problems: self.complaints(),
            policy_generation: self.metrics.policy_generation(),
            audit: self.config.audit.as_ref().map(|audit| audit.status()),
            totals,
            limits: self.metrics.limits(),
            peers,
            truncated: next.is_some(),
            next,
        }
    }
}

impl Agents {
    /// The tunnels of a page and their tenants, and one more that tells whether there are more.
    fn page(&self, page: &StatusPage) -> Vec<(AgentTunnel, Option<String>)> {
        let tenant = |agent: &AgentTunnel| self.tenant_name(agent).map(clip);
        let later = (Bound::Excluded(LinkId(page.after)), Bound::Unbounded);
        self.tunnels
            .range(later)
            .take(page.most() + 1)
            .map(|(_, agent)| (agent.clone(), tenant(agent)))
            .collect()
    }
}

/// `None` once the tunnel has ended.
fn look(agent: &AgentTunnel) -> Option<Looked> {
    let (load, state) = agent.tunnel.with(|link| (link.load(), state(link)));
    let address = agent.peer.tcp().map(|_| agent.peer.to_string());
    Some(Looked {
        load: load?,
        state: if agent.standing.admitted {
            state
        } else {
            LinkState::NotAdmitted
        },
        address,
    })
}

fn state(link: &Link) -> LinkState {
    if link.is_suspended() {
        LinkState::Suspended
    } else if link.is_draining() {
        LinkState::Draining
    } else {
        LinkState::Connected
    }
}
