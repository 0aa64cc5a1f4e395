//! Who is connected, and which link serves a dial.

use std::collections::BTreeMap;

use super::strategy::{AgentPool, Destinations, LinkState, Strategies, Strategy};
use crate::ids::LinkId;
use crate::wire::AgentMetadata;

/// The agents of one server and the tables of its strategies.
///
/// Touched when an agent comes, drains or goes, and once per dial; never per packet. Each call costs
/// logarithmic time in the agents, but for a choice among many that drain, which scans past them.
///
/// Several links may carry one agent id: they coexist here, and the agent drops those it does not want.
#[derive(Debug)]
pub struct Router {
    strategies: Strategies,
    links: BTreeMap<LinkId, Agent>,
    draining: usize,
    agents: AgentPool,
    default_routes: AgentPool,
    destinations: Destinations,
}

#[derive(Debug)]
struct Agent {
    metadata: AgentMetadata,
    draining: bool,
    suspended: bool,
}

impl Agent {
    const fn state(&self) -> LinkState {
        if self.suspended {
            LinkState::Suspended
        } else if self.draining {
            LinkState::Draining
        } else {
            LinkState::Connected
        }
    }
}

impl Router {
    /// A router without agents that tries `strategies` in their order.
    #[must_use]
    pub fn new(strategies: Strategies) -> Self {
        Self {
            strategies,
            links: BTreeMap::new(),
            draining: 0,
            agents: AgentPool::default(),
            default_routes: AgentPool::default(),
            destinations: Destinations::default(),
        }
    }

    /// An agent's Connect stream is open: it serves dials from now on.
    ///
    /// Links are never reused, so a second call for one is the driver's mistake, and ignored.
    pub fn agent_connected(&mut self, link: LinkId, metadata: &AgentMetadata) {
        debug_assert!(!self.links.contains_key(&link), "{link} connected twice");
        let state = LinkState::Connected;
        self.links.entry(link).or_insert_with(|| Agent {
            metadata: metadata.clone(),
            draining: false,
            suspended: false,
        });
        self.for_each_table(link, |table| match table {
            Table::Pool(pool, agent_id) => pool.add(agent_id, link, state),
            Table::Destination(destinations, identifier) => {
                destinations.add(identifier, link, state);
            }
        });
    }

    /// An agent announced its end (`DRAIN`): its link serves only what no other link can.
    ///
    /// For good: nothing makes a link fit again. Unknown links are ignored.
    pub fn agent_draining(&mut self, link: LinkId) {
        let known = self.links.get(&link);
        self.draining += usize::from(known.is_some_and(|agent| !agent.draining));
        self.update(link, |agent| agent.draining = true);
    }

    /// A link's transport was lost, and may be replaced: it serves only what no link with a transport can.
    pub fn agent_suspended(&mut self, link: LinkId) {
        self.update(link, |agent| agent.suspended = true);
    }

    /// A suspended link has a transport again.
    pub fn agent_resumed(&mut self, link: LinkId) {
        self.update(link, |agent| agent.suspended = false);
    }

    fn update(&mut self, link: LinkId, change: impl FnOnce(&mut Agent)) {
        let Some(agent) = self.links.get_mut(&link) else {
            return;
        };
        change(agent);
        let state = agent.state();
        self.for_each_table(link, |table| match table {
            Table::Pool(pool, agent_id) => pool.set_state(agent_id, link, state),
            Table::Destination(destinations, identifier) => {
                destinations.set_state(identifier, link, state);
            }
        });
    }

    /// A link serves nothing any more: it was lost, or retired. Unknown links are ignored.
    pub fn agent_disconnected(&mut self, link: LinkId) {
        self.for_each_table(link, |table| match table {
            Table::Pool(pool, agent_id) => pool.remove(agent_id, link),
            Table::Destination(destinations, identifier) => {
                destinations.remove(identifier, link);
            }
        });
        let removed = self.links.remove(&link);
        self.draining -= usize::from(removed.is_some_and(|agent| agent.draining));
    }

    /// The link for a dial to `destination` (`host:port`), by the first strategy that knows one.
    ///
    /// `random` is drawn for this dial; where any agent will do it decides which.
    #[must_use]
    pub fn route(&self, destination: &str, random: u64) -> Option<LinkId> {
        self.strategies.iter().find_map(|strategy| match strategy {
            Strategy::Default => self.agents.pick(random),
            Strategy::DestHost => self.destinations.pick(destination),
            Strategy::DefaultRoute => self.default_routes.pick(random),
        })
    }

    /// The size of a strategy's table, as `ready_backends` counts: agent ids, or identifiers for `destHost`.
    /// Draining agents count, further links of one id do not. Zero for a strategy that is not configured.
    #[must_use]
    pub fn ready_backends(&self, strategy: Strategy) -> usize {
        match strategy {
            Strategy::Default => self.agents.len(),
            Strategy::DestHost => self.destinations.len(),
            Strategy::DefaultRoute => self.default_routes.len(),
        }
    }

    /// True when some strategy could serve a dial; the reference asks only its first one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.strategies
            .iter()
            .any(|strategy| self.ready_backends(strategy) > 0)
    }

    /// The strategies that the router was made with.
    #[must_use]
    pub const fn strategies(&self) -> &Strategies {
        &self.strategies
    }

    /// Every link with its agent and its state, oldest first.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, &AgentMetadata, LinkState)> {
        self.links
            .iter()
            .map(|(link, agent)| (*link, &agent.metadata, agent.state()))
    }

    /// How many links there are.
    #[must_use]
    pub fn link_count(&self) -> usize {
        self.links.len()
    }

    /// How many links have agents that announced their end.
    #[must_use]
    pub const fn draining_count(&self) -> usize {
        self.draining
    }

    /// Visits the place of a link in the table of every configured strategy.
    fn for_each_table(&mut self, link: LinkId, mut visit: impl FnMut(Table<'_>)) {
        let Some(Agent { metadata, .. }) = self.links.get(&link) else {
            return;
        };
        let agent_id = metadata.agent_id.as_str();
        if self.strategies.contains(Strategy::Default) {
            visit(Table::Pool(&mut self.agents, agent_id));
        }
        if self.strategies.contains(Strategy::DestHost) {
            for identifier in metadata.identifiers.destinations() {
                visit(Table::Destination(&mut self.destinations, identifier));
            }
        }
        if self.strategies.contains(Strategy::DefaultRoute) && metadata.identifiers.default_route {
            visit(Table::Pool(&mut self.default_routes, agent_id));
        }
    }
}

/// A strategy's table and the key of a link in it.
enum Table<'a> {
    Pool(&'a mut AgentPool, &'a str),
    Destination(&'a mut Destinations, &'a str),
}

#[cfg(test)]
mod tests;
