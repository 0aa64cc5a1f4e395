//! The proxy server: agents on one side, frontends on the other, the router between them.

mod agent_call;
mod agents;
mod audit;
mod authentication;
mod config;
mod dialling;
mod frontend;
mod handshake;
mod observer;
mod pending_agent;
mod policy;
mod status;
mod stop;
mod throttling;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dialback_core::audit::AgentChange;
use dialback_core::policy::Policy;
use dialback_core::server::{Hedging, Link, Router, Sessions, Strategies, Strategy};
use dialback_core::throttle::ThrottleConfig;
use dialback_core::wire::AgentMetadata;
use dialback_core::{CloseReason, Identity, LinkId};

pub use audit::AuditSink;
pub use authentication::{
    AgentAuthenticator, AgentIdentity, AgentRefused, Authentication, BearerToken, RefusalReason,
};
pub use config::ServerConfig;
pub use frontend::{Frontend, FrontendMode};
pub use stop::Stopped;
use stop::{Stop, StopSignal};

use self::handshake::HandshakeTurns;
use self::policy::{PolicedStreams, Standing};
use self::throttling::Throttling;
use crate::metrics::ServerMetrics;
use crate::net::PeerAddr;
use crate::runtime::Runtime;
use crate::tunnel::Tunnel;

/// For so long it is told that an agent was refused: a few of its attempts.
const REFUSAL_TOLD: Duration = Duration::from_secs(5 * 60);

/// A running proxy server; listeners are given to its `serve_*` methods.
#[derive(Debug)]
pub struct Server<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) config: ServerConfig,
    pub(crate) metrics: Arc<ServerMetrics>,
    agents: Mutex<Agents>,
    next_link: AtomicU64,
    /// For the audit log.
    next_stream: AtomicU64,
    handshake_turns: HandshakeTurns,
    /// `None` where a dial is left to one agent.
    hedging: Option<Mutex<Hedging>>,
    /// `None` where nothing is limited.
    throttling: Option<Arc<Throttling<R>>>,
    /// Whether frontends may ask for agents with certain labels.
    by_label: bool,
    stop: Stop,
    /// The streams that a changed policy may deny.
    policed: PolicedStreams,
    since: Instant,
    /// An agent that was refused for its token, the newest.
    last_refusal: Mutex<Option<(Instant, AgentRefused)>>,
}

/// Who is connected; touched when an agent comes or goes and once a dial, never for a packet.
#[derive(Debug)]
struct Agents {
    /// What the operator allows; `None` for everything.
    policy: Option<Arc<Policy>>,
    /// How many of the tunnels are of agents that the policy does not admit any more.
    not_admitted: usize,
    router: Router,
    sessions: Sessions,
    tunnels: BTreeMap<LinkId, AgentTunnel>,
}

impl Agents {
    fn tunnels(&self) -> Vec<Arc<Tunnel<Link>>> {
        let tunnels = self.tunnels.values();
        tunnels.map(|agent| Arc::clone(&agent.tunnel)).collect()
    }
}

/// A tunnel and whose it is.
#[derive(Clone, Debug)]
struct AgentTunnel {
    tunnel: Arc<Tunnel<Link>>,
    /// What the agent had proved to be when the tunnel began; whoever resumes it is the same.
    identity: Arc<Identity>,
    /// What it says of itself, whatever it may.
    claimed: Arc<AgentMetadata>,
    /// What of it the policy leaves.
    allowed: Arc<AgentMetadata>,
    standing: Standing,
    /// Where it comes from: the end of the newest transport.
    peer: PeerAddr,
    since: Instant,
}

impl<R: Runtime> Server<R> {
    /// A server without agents. Strategies are tried in order.
    #[must_use]
    pub fn new(
        runtime: R,
        config: ServerConfig,
        strategies: Strategies,
        metrics: Arc<ServerMetrics>,
    ) -> Arc<Self> {
        let by_label = strategies.contains(Strategy::Label);
        let agents = Agents {
            policy: None,
            not_admitted: 0,
            router: Router::new(strategies).with_zone(config.zone.clone()),
            sessions: Sessions::new(config.max_agents),
            tunnels: BTreeMap::new(),
        };
        let server = Self {
            by_label,
            throttling: config
                .throttle
                .clone()
                .map(|throttle| Throttling::new(runtime.clone(), Arc::clone(&metrics), throttle)),
            hedging: config.dial_hedging.then(Mutex::default),
            handshake_turns: HandshakeTurns::new(config.max_agent_handshakes),
            since: runtime.now(),
            runtime,
            config,
            metrics,
            agents: Mutex::new(agents),
            next_link: AtomicU64::new(1),
            next_stream: AtomicU64::new(1),
            stop: Stop::new(),
            policed: PolicedStreams::default(),
            last_refusal: Mutex::default(),
        };
        server.report_backends(&server.agents());
        Arc::new(server)
    }

    /// Whether any strategy knows an agent, and the server is neither about to stop nor kept from new streams by its audit log:
    /// what `/readyz` answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.stop.is_draining() && self.audit_admits() && self.agents().router.is_ready()
    }

    /// What is missing for readiness, in sentences: that the server stops, that its audit log can't be written, and that an
    /// agent was refused for its token within the last minutes, and why. Parts of it are an authenticator's words.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let now = self.runtime.now();
        let refusal = self.last_refusal();
        let recent = refusal.iter().filter(|(at, _)| now < *at + REFUSAL_TOLD);
        let told = recent.map(|(_, refused)| format!("an agent was refused: {refused}"));
        let stops = self
            .stop
            .is_draining()
            .then(|| "the server is stopping".to_owned());
        let audit = self.config.audit.as_ref().map(|audit| audit.status());
        let audit = audit.and_then(|audit| audit.complaint());
        stops.into_iter().chain(audit).chain(told).collect()
    }

    /// Other limits hold from now on, also for what goes on. Nothing comes of it where the server was made without limits:
    /// [`ServerConfig::throttle`].
    pub fn set_throttle(&self, config: ThrottleConfig) {
        if let Some(throttling) = &self.throttling {
            throttling.reconfigure(config);
        }
    }

    /// What this server counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<ServerMetrics> {
        &self.metrics
    }

    /// Agents' tunnels, those that wait for another transport included.
    #[must_use]
    pub fn tunnel_count(&self) -> usize {
        self.agents().tunnels.len()
    }

    /// Streams of all tunnels, pending dials included.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.tunnels()
            .iter()
            .map(|tunnel| tunnel.with(|link| link.stream_count()))
            .sum()
    }

    fn connected(&self, agent: AgentTunnel) {
        let link = agent.tunnel.id();
        self.agents().connect(agent);
        self.audit_link(link, AgentChange::Connected);
        let agents = self.agents();
        self.report_backends(&agents);
    }

    /// Chosen no more; harmless when repeated.
    fn disconnected(&self, link: LinkId, reason: CloseReason) {
        let mut agents = self.agents();
        let gone = agents.disconnect(link);
        agents.sessions.end(link);
        if let Some(mut hedging) = self.hedging() {
            hedging.forget(link);
            self.metrics.set_aside(hedging.set_aside_count());
        }
        self.report_backends(&agents);
        drop(agents);
        if let Some(agent) = gone {
            self.audit_agent(&agent, AgentChange::Lost(reason));
        }
    }

    fn draining(&self, link: LinkId) {
        let mut agents = self.agents();
        agents.router.agent_draining(link);
        self.metrics.draining_agents(agents.router.draining_count());
    }

    fn suspended(&self, link: LinkId) {
        self.agents().router.agent_suspended(link);
        self.audit_link(link, AgentChange::Suspended);
    }

    fn resumed(&self, link: LinkId) {
        self.agents().router.agent_resumed(link);
    }

    fn resumption_confirmed(&self, link: LinkId, resumption: u64) {
        self.agents().sessions.confirm(link, resumption);
    }

    fn report_backends(&self, agents: &Agents) {
        self.metrics.draining_agents(agents.router.draining_count());
        for strategy in agents.router.strategies().iter() {
            self.metrics
                .ready_backends(strategy.name(), agents.router.ready_backends(strategy));
        }
    }

    fn next_stream(&self) -> u64 {
        self.next_stream.fetch_add(1, Ordering::Relaxed)
    }

    fn new_link_id(&self) -> LinkId {
        LinkId(self.next_link.fetch_add(1, Ordering::Relaxed))
    }

    fn agents(&self) -> MutexGuard<'_, Agents> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every tunnel, to be used without the lock that they are listed under.
    fn tunnels(&self) -> Vec<Arc<Tunnel<Link>>> {
        self.agents().tunnels()
    }

    /// An agent was refused for its token.
    fn refused(&self, refused: &AgentRefused) {
        self.metrics.agent_refused(refused);
        *self.last_refusal() = Some((self.runtime.now(), refused.clone()));
    }

    fn last_refusal(&self) -> MutexGuard<'_, Option<(Instant, AgentRefused)>> {
        self.last_refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_signal(&self) -> StopSignal {
        self.stop.signal()
    }
}
