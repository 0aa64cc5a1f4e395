//! Who is connected, and which link serves a dial.

use std::collections::BTreeMap;

use super::strategy::{
    AgentPool, Backends, Destinations, LinkState, Networks, Selector, Strategies, Strategy,
};
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
    /// Those that carry a label.
    labelled: AgentPool,
    destinations: Destinations,
    networks: Networks,
    /// Agents of the same zone are preferred.
    zone: Option<String>,
}

/// A dial that looks for a link.
#[derive(Clone, Copy)]
pub struct RouteRequest<'a> {
    /// `host:port`.
    pub destination: &'a str,
    /// Drawn for this dial; where several links will do they decide which.
    pub random: [u64; 2],
    /// What labels the agent has to have; looked at where `label` is among the strategies.
    pub selector: Option<&'a Selector>,
    /// Which links may serve it.
    pub consider: &'a dyn Fn(LinkId) -> Consideration,
}

impl std::fmt::Debug for RouteRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteRequest")
            .field("destination", &self.destination)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

/// Whether a link may serve a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consideration {
    /// As well as any.
    Usual,
    /// Only where no other can.
    LastResort,
    /// Not at all.
    Never,
}

/// The links that a dial may be given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// The one that was found.
    pub first: LinkId,
    /// Another that is as fit, where the less loaded of two is wanted.
    pub second: Option<LinkId>,
}

/// How fit a link is for a dial; what is smaller is chosen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fitness {
    state: LinkState,
    consideration: Consideration,
    other_zone: bool,
}

/// Nothing can be fitter.
const FITTEST: Fitness = Fitness {
    state: LinkState::Connected,
    consideration: Consideration::Usual,
    other_zone: false,
};

/// How many links are drawn before all are looked at for the fittest.
const DRAWS: usize = 4;

/// Another draw from the same random number: Knuth's MMIX generator (TAOCP volume 2, section 3.3.4).
const fn next_draw(draw: u64) -> u64 {
    draw.wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
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
            labelled: AgentPool::default(),
            destinations: Destinations::default(),
            networks: Networks::default(),
            zone: None,
        }
    }

    /// The same, which prefers agents that carry the label `zone:ZONE` where several can serve.
    #[must_use]
    pub fn with_zone(mut self, zone: Option<String>) -> Self {
        self.zone = zone;
        self
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
        self.enter_tables(link, state);
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
            Table::Network(networks, network) => networks.set_state(network, link, state),
        });
    }

    /// A link serves nothing any more: it was lost, or retired. Unknown links are ignored.
    pub fn agent_disconnected(&mut self, link: LinkId) {
        self.leave_tables(link);
        let removed = self.links.remove(&link);
        self.draining -= usize::from(removed.is_some_and(|agent| agent.draining));
    }

    /// An agent may claim something else than it did: it is found by that from now on. Unknown links are ignored.
    pub fn agent_claims(&mut self, link: LinkId, metadata: &AgentMetadata) {
        self.leave_tables(link);
        if let Some(agent) = self.links.get_mut(&link) {
            agent.metadata = metadata.clone();
            let state = agent.state();
            self.enter_tables(link, state);
        }
    }

    fn enter_tables(&mut self, link: LinkId, state: LinkState) {
        self.for_each_table(link, |table| match table {
            Table::Pool(pool, agent_id) => pool.add(agent_id, link, state),
            Table::Destination(destinations, identifier) => {
                destinations.add(identifier, link, state);
            }
            Table::Network(networks, network) => networks.add(network, link, state),
        });
    }

    fn leave_tables(&mut self, link: LinkId) {
        self.for_each_table(link, |table| match table {
            Table::Pool(pool, agent_id) => pool.remove(agent_id, link),
            Table::Destination(destinations, identifier) => {
                destinations.remove(identifier, link);
            }
            Table::Network(networks, network) => networks.remove(network, link),
        });
    }

    /// The link for a dial to `destination` (`host:port`), by the first strategy that knows one, whatever is asked for beside.
    ///
    /// `random` is drawn for this dial; where any agent will do it decides which. What the reference does, in logarithmic time;
    /// for the strategies and wishes that it does not have there is [`Router::candidates`].
    #[must_use]
    pub fn route(&self, destination: &str, random: u64) -> Option<LinkId> {
        self.strategies.iter().find_map(|strategy| match strategy {
            Strategy::Default | Strategy::LeastLoaded => self.agents.pick(random),
            Strategy::DestHost => Self::oldest(self.destinations.of(destination)?),
            Strategy::DefaultRoute => self.default_routes.pick(random),
            Strategy::DestCidr => self.networks.containing(destination).find_map(Self::oldest),
            Strategy::Label => None,
        })
    }

    fn oldest(backends: &Backends) -> Option<LinkId> {
        backends.pick().map(|(link, _)| link)
    }

    /// The links that a dial may be given to, by the first strategy that knows one: the fittest, of equals a random one, or
    /// for `destHost` and `destCIDR` the oldest. With `leastLoaded` among the strategies two, both drawn, of which the less
    /// loaded is to serve.
    ///
    /// Fitter is what is connected, then what is not the last resort, then what is in the zone. Costs a look at each link
    /// of the strategy's group at most, and at a few of them as a rule.
    #[must_use]
    pub fn candidates(&self, request: &RouteRequest<'_>) -> Option<Candidates> {
        let request = &RouteRequest {
            selector: request
                .selector
                .filter(|_| self.strategies.contains(Strategy::Label)),
            ..*request
        };
        let by_load = self.strategies.contains(Strategy::LeastLoaded);
        let pool = |pool: &AgentPool| self.two(request, by_load, |random| pool.links(random));
        let group = |backends: &Backends| {
            if by_load {
                let links = |random: u64| {
                    let start = random.checked_rem(backends.iter().len() as u64);
                    let start = start.unwrap_or(0) as usize;
                    backends
                        .iter()
                        .cycle()
                        .skip(start)
                        .take(backends.iter().len())
                };
                self.two(request, true, links)
            } else {
                self.two(request, false, |_| backends.iter())
            }
        };
        self.strategies.iter().find_map(|strategy| match strategy {
            Strategy::Default | Strategy::LeastLoaded => pool(&self.agents),
            Strategy::DestHost => group(self.destinations.of(request.destination)?),
            Strategy::DefaultRoute => pool(&self.default_routes),
            Strategy::DestCidr => self
                .networks
                .containing(request.destination)
                .find_map(group),
            Strategy::Label => request.selector.and_then(|_| pool(&self.labelled)),
        })
    }

    /// The fittest of `links`, which are in an order drawn at random, and with `by_load` another that is as fit.
    fn two<L>(
        &self,
        request: &RouteRequest<'_>,
        by_load: bool,
        links: impl Fn(u64) -> L,
    ) -> Option<Candidates>
    where
        L: Iterator<Item = (LinkId, LinkState)>,
    {
        let [random, other] = request.random;
        let (fitness, first) = self.fittest(request, random, &links, None)?;
        let second = || self.fittest(request, other, &links, Some(first));
        let second = by_load.then(second).flatten();
        let second = second.filter(|(as_fit, _)| *as_fit == fitness);
        Some(Candidates {
            first,
            second: second.map(|(_, link)| link),
        })
    }

    fn fittest<L>(
        &self,
        request: &RouteRequest<'_>,
        random: u64,
        links: &impl Fn(u64) -> L,
        except: Option<LinkId>,
    ) -> Option<(Fitness, LinkId)>
    where
        L: Iterator<Item = (LinkId, LinkState)>,
    {
        // Were they looked at in their order at once, who follows an unfit one would be chosen twice as often. (Who
        // follows one that drains or is cut off is: so the reference does.)
        let mut draw = random;
        for _ in 0..DRAWS {
            let Some((link, LinkState::Connected)) = links(draw).next() else {
                break;
            };
            if Some(link) != except
                && self.fitness(request, link, LinkState::Connected) == Some(FITTEST)
            {
                return Some((FITTEST, link));
            }
            draw = next_draw(draw);
        }
        let mut best = None;
        for (link, state) in links(random).filter(|(link, _)| Some(*link) != except) {
            let Some(fitness) = self.fitness(request, link, state) else {
                continue;
            };
            if best.is_none_or(|(best, _)| fitness < best) {
                best = Some((fitness, link));
            }
            if fitness == FITTEST {
                break;
            }
        }
        best
    }

    fn fitness(
        &self,
        request: &RouteRequest<'_>,
        link: LinkId,
        state: LinkState,
    ) -> Option<Fitness> {
        let identifiers = &self.links.get(&link)?.metadata.identifiers;
        if request
            .selector
            .is_some_and(|selector| !selector.selects(identifiers))
        {
            return None;
        }
        let consideration = (request.consider)(link);
        let in_zone = |zone: &str| identifiers.labels().any(|label| label == ("zone", zone));
        (consideration != Consideration::Never).then(|| Fitness {
            state,
            consideration,
            other_zone: self.zone.as_deref().is_some_and(|zone| !in_zone(zone)),
        })
    }

    /// Whether [`Router::route`] decides as [`Router::candidates`] does: nothing is configured that the reference does not
    /// have.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.zone.is_none()
            && self.strategies.iter().all(|strategy| match strategy {
                Strategy::Default
                | Strategy::DestHost
                | Strategy::DefaultRoute
                | Strategy::DestCidr => true,
                Strategy::Label | Strategy::LeastLoaded => false,
            })
    }

    /// The size of a strategy's table, as `ready_backends` counts: agent ids, or identifiers for `destHost`, networks for
    /// `destCIDR`.
    /// Draining agents count, further links of one id do not. Zero for a strategy that is not configured.
    #[must_use]
    pub fn ready_backends(&self, strategy: Strategy) -> usize {
        match strategy {
            Strategy::Default | Strategy::LeastLoaded => self.agents.len(),
            Strategy::DestHost => self.destinations.len(),
            Strategy::DefaultRoute => self.default_routes.len(),
            Strategy::DestCidr => self.networks.len(),
            Strategy::Label => self.labelled.len(),
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
        if self.strategies.contains(Strategy::Default)
            || self.strategies.contains(Strategy::LeastLoaded)
        {
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
        if self.strategies.contains(Strategy::Label) && !metadata.identifiers.label.is_empty() {
            visit(Table::Pool(&mut self.labelled, agent_id));
        }
        if self.strategies.contains(Strategy::DestCidr) {
            for network in &metadata.identifiers.cidr {
                visit(Table::Network(&mut self.networks, network));
            }
        }
    }
}

/// A strategy's table and the key of a link in it.
enum Table<'a> {
    Pool(&'a mut AgentPool, &'a str),
    Destination(&'a mut Destinations, &'a str),
    Network(&'a mut Networks, &'a str),
}

#[cfg(test)]
mod tests;
