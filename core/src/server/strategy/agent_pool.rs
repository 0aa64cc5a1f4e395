//! A pool of agents to choose from at random, as `default` and `defaultRoute` do.

use std::collections::BTreeMap;

use super::backends::{Backends, LinkState};
use crate::ids::LinkId;

/// Agents by id, each with its links.
///
/// Agent ids stand in a list for the random choice; when the last link of one goes, the list's last id takes
/// its place (Konnectivity server, `pkg/server/backend_manager.go`, `removeBackend`).
#[derive(Debug, Default)]
pub(in crate::server) struct AgentPool {
    agents: Vec<(String, Backends)>,
    positions: BTreeMap<String, usize>,
    /// How many agents have a link that does not drain: without one there is nothing to scan for.
    connected: usize,
    /// How many have one that has a transport.
    reachable: usize,
}

impl AgentPool {
    pub(in crate::server) fn add(&mut self, agent_id: &str, link: LinkId, state: LinkState) {
        let position = match self.positions.get(agent_id) {
            Some(position) => *position,
            None => {
                let position = self.agents.len();
                self.agents.push((agent_id.to_owned(), Backends::default()));
                self.positions.insert(agent_id.to_owned(), position);
                position
            }
        };
        self.update(position, |backends| backends.add(link, state));
    }

    pub(in crate::server) fn remove(&mut self, agent_id: &str, link: LinkId) {
        let Some(&position) = self.positions.get(agent_id) else {
            return;
        };
        self.update(position, |backends| backends.remove(link));
        let emptied = self
            .agents
            .get(position)
            .is_some_and(|(_, backends)| backends.is_empty());
        if emptied {
            self.agents.swap_remove(position);
            self.positions.remove(agent_id);
            if let Some((moved, _)) = self.agents.get(position) {
                self.positions.insert(moved.clone(), position);
            }
        }
    }

    pub(in crate::server) fn set_state(&mut self, agent_id: &str, link: LinkId, state: LinkState) {
        if let Some(&position) = self.positions.get(agent_id) {
            self.update(position, |backends| backends.set_state(link, state));
        }
    }

    /// Starts at a random agent and takes the first that does not drain, else the first that can be reached, else
    /// the one it started at.
    pub(in crate::server) fn pick(&self, random: u64) -> Option<LinkId> {
        // Remainder first, so the cast cannot truncate.
        let start = random.checked_rem(self.agents.len() as u64)? as usize;
        let (before, from_start) = self.agents.split_at_checked(start)?;
        let mut scan = from_start
            .iter()
            .chain(before)
            .map(|(_, backends)| backends);
        let chosen = if self.connected > 0 {
            scan.find(|backends| backends.has(LinkState::Connected))
        } else if self.reachable > 0 {
            scan.find(|backends| backends.has(LinkState::Draining))
        } else {
            scan.next()
        };
        chosen.and_then(Backends::pick).map(|(link, _)| link)
    }

    /// Every link, those of a random agent first.
    pub(in crate::server) fn links(
        &self,
        random: u64,
    ) -> impl Iterator<Item = (LinkId, LinkState)> {
        let start = random.checked_rem(self.agents.len() as u64).unwrap_or(0) as usize;
        let (before, from_start) = self.agents.split_at_checked(start).unwrap_or_default();
        let scan = from_start.iter().chain(before);
        scan.flat_map(|(_, backends)| backends.iter())
    }

    /// Agent ids in the pool, draining ones included.
    pub(in crate::server) fn len(&self) -> usize {
        self.agents.len()
    }

    fn update(&mut self, position: usize, change: impl FnOnce(&mut Backends)) {
        if let Some((_, backends)) = self.agents.get_mut(position) {
            self.connected -= usize::from(backends.has(LinkState::Connected));
            self.reachable -= usize::from(backends.has(LinkState::Draining));
            change(backends);
            self.connected += usize::from(backends.has(LinkState::Connected));
            self.reachable += usize::from(backends.has(LinkState::Draining));
        }
    }
}
