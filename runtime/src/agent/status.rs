//! What an agent is at.

use std::sync::Arc;

use dialback_core::agent::Link;

use super::Agent;
use crate::runtime::Runtime;
use crate::status::{LinkState, Looked, Peer, Peers, Program, Status, StatusPage, clip};

impl<R: Runtime> Agent<R> {
    /// A snapshot: the servers that it is connected to, its links to them, sums and counters. Costs a look at every tunnel,
    /// each under its own lock.
    #[must_use]
    pub fn status(&self, page: &StatusPage) -> Status {
        let now = self.runtime.now();
        let tunnels: Vec<_> = {
            let links = self.links();
            let held = links.values();
            held.map(|held| (Arc::clone(&held.tunnel), held.since))
                .collect()
        };
        let mut totals = self.metrics.totals();
        let mut peers = Peers::new(page);
        for (tunnel, since) in tunnels {
            let (load, state) = tunnel.with(|link| (link.load(), state(link)));
            let Some(load) = load else { continue };
            totals.add(&load);
            let link = tunnel.id();
            if link.0 <= page.after {
                continue;
            }
            let looked = Looked {
                load,
                state,
                address: self.targets().address(link).map(|at| at.to_string()),
            };
            let age = now.saturating_duration_since(since);
            let peer = Peer {
                id: clip(tunnel.peer_id()),
                ..Peer::default()
            };
            peers.add(peer, link, looked, age);
        }
        let (peers, next) = peers.finish();
        Status {
            program: Program::Agent,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            id: self.config.agent_id.clone(),
            uptime_seconds: now.saturating_duration_since(self.since).as_secs_f64(),
            ready: self.connected() > 0,
            draining: *self.draining.borrow(),
            problems: self.complaints(),
            policy_generation: None,
            audit: None,
            totals,
            limits: Vec::new(),
            peers,
            truncated: next.is_some(),
            next,
        }
    }
}

fn state(link: &Link) -> LinkState {
    if link.is_suspended() {
        LinkState::Suspended
    } else if link.is_server_draining() {
        LinkState::Draining
    } else {
        LinkState::Connected
    }
}
