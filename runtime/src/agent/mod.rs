//! The proxy agent: connected to every server that it is to serve, dialling endpoints for them.

mod attempt;
mod config;
mod endpoint;
mod link;
mod observer;
mod probe;
mod status;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dialback_core::agent::fleet::{AttemptId, FleetConfigError, ServerLeases, Targets};
use dialback_core::agent::{Fleet, FleetAction, FleetEvent, Link};
use dialback_core::wire::{MAX_RESUME_OFFERS, ResumeOffer, SessionGrant};
use dialback_core::{CloseReason, Entropy, LinkId};
use tokio::sync::{mpsc, watch};

use self::attempt::{Established, Resumed};
use self::config::ServerHost;
pub use self::config::{AgentConfig, AgentConfigError};
pub use self::probe::{Probe, ProbeAnswer, ProbeError};
pub use self::token::read_token;
use crate::metrics::{AgentMetrics, AttemptResult};
use crate::runtime::{Runtime, Task};
use crate::timer::{Timer, timeout_at};
use crate::tunnel::Tunnel;

/// Reports of attempts and links that may wait for the fleet; their tasks wait beyond that.
const REPORTS: usize = 64;

/// A proxy agent.
#[derive(Debug)]
pub struct Agent<R: Runtime> {
    runtime: R,
    config: AgentConfig,
    servers: Vec<ServerHost>,
    targets: Mutex<Targets>,
    metrics: Arc<AgentMetrics>,
    links: Mutex<BTreeMap<LinkId, HeldLink>>,
    connected: watch::Sender<usize>,
    trouble: Mutex<Trouble>,
    leases: watch::Sender<Option<ServerLeases>>,
    draining: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
    since: Instant,
}

/// What keeps the agent from being connected to all servers.
#[derive(Debug, Default)]
struct Trouble {
    /// Servers that it means to be connected to.
    known_servers: u64,
    /// Why the last attempt failed, if it did.
    attempt: Option<String>,
}

/// A tunnel that is up, or waits for another transport.
#[derive(Debug)]
struct HeldLink {
    tunnel: Arc<Tunnel<Link>>,
    /// How its session can be resumed.
    session: Option<SessionGrant>,
    /// Its task was given a transport and has not put it on that yet: another would be one too many.
    handed_over: bool,
    since: Instant,
}

/// What the fleet hears of the tasks that work for it.
enum Report<R: Runtime> {
    Connected(AttemptId, Box<Established<R>>),
    AttemptFailed(AttemptId),
    GoingAway(LinkId),
    ServerDraining(LinkId),
    Suspended(LinkId),
    Down(LinkId),
}

/// How long an agent that ends may take for it, and how often it is looked whether its endpoints are gone.
const END_TIME: Duration = Duration::from_secs(2);
const END_LOOK: Duration = Duration::from_millis(2);

/// How often an agent that is to become idle is looked at.
const IDLE_LOOK: Duration = Duration::from_millis(50);

impl<R: Runtime> Agent<R> {
    /// An agent that is not connected yet; [`Agent::run`] makes it so.
    ///
    /// # Errors
    /// The configuration could not work.
    pub fn new(
        runtime: R,
        config: AgentConfig,
        metrics: Arc<AgentMetrics>,
    ) -> Result<Arc<Self>, AgentConfigError> {
        let servers = config.servers()?;
        let since = runtime.now();
        Ok(Arc::new(Self {
            runtime,
            config,
            targets: Mutex::new(Targets::new(servers.len())),
            servers,
            metrics,
            links: Mutex::new(BTreeMap::new()),
            connected: watch::Sender::new(0),
            trouble: Mutex::default(),
            leases: watch::Sender::new(None),
            draining: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
            since,
        }))
    }

    /// Connects to servers and serves them until [`Agent::stop`].
    ///
    /// # Errors
    /// The fleet's part of the configuration could not work.
    pub async fn run(self: &Arc<Self>) -> Result<(), FleetConfigError> {
        let fleet = Fleet::new(self.config.fleet.clone(), self.runtime.now())?;
        let (reports, inbox) = mpsc::channel(REPORTS);
        let run = FleetRun {
            agent: Arc::clone(self),
            fleet,
            reports,
            inbox,
            attempt: None,
            host: 0,
            transports: BTreeMap::new(),
            next_link: 1,
            timer: Timer::new(self.runtime.clone()),
        };
        run.run().await;
        Ok(())
    }

    /// Announces the end to every server: no new connections, and no new dials where another agent can serve
    /// them. What runs goes on.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// Tells which servers have valid Leases. What comes of it is up to
    /// [`FleetConfig::server_count_source`](dialback_core::agent::FleetConfig::server_count_source). When Leases can't
    /// be read for a while the last ones stand.
    pub fn leases_read(&self, leases: ServerLeases) {
        self.leases.send_if_modified(|last| {
            let changed = last.as_ref() != Some(&leases);
            *last = Some(leases);
            changed
        });
    }

    /// Ends everything: connections to servers and endpoints are cut.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// What this agent counts.
    #[must_use]
    pub fn metrics(&self) -> &Arc<AgentMetrics> {
        &self.metrics
    }

    /// Servers that the agent is connected to: ready when there is one.
    #[must_use]
    pub fn connected(&self) -> usize {
        *self.connected.borrow()
    }

    /// What is missing for it to be connected to every server, in sentences: how many are not, and why the last
    /// attempt to connect failed. Parts of it are the server's words.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let connected = self.connected();
        let trouble = self.trouble();
        let known = usize::try_from(trouble.known_servers).unwrap_or(usize::MAX);
        let known = known.max(1);
        if connected >= known {
            return Vec::new();
        }
        let servers = format!("connected to {connected} of {known} servers");
        let attempt = trouble.attempt.as_ref();
        let attempt = attempt.map(|error| format!("last attempt to connect failed: {error}"));
        std::iter::once(servers).chain(attempt).collect()
    }

    /// Follows [`Agent::connected`].
    #[must_use]
    pub fn watch_connected(&self) -> watch::Receiver<usize> {
        self.connected.subscribe()
    }

    /// Streams of all tunnels, pending dials included.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.tunnels()
            .iter()
            .map(|tunnel| tunnel.with(|link| link.stream_count()))
            .sum()
    }

    /// Waits until there has been no stream for `quiet`, a little more at most. After [`Agent::drain`] that means that
    /// nobody needs this agent any more: dials that were on their way have come by then.
    pub async fn idle(&self, quiet: Duration) {
        let mut since = self.runtime.now();
        loop {
            let now = self.runtime.now();
            if self.stream_count() > 0 {
                since = now;
            } else if now >= since + quiet {
                return;
            }
            self.runtime.sleep_until(now + IDLE_LOOK).await;
        }
    }

    /// What is offered to the next server: every session that waits for another transport.
    fn resume_offers(&self) -> Vec<(LinkId, ResumeOffer)> {
        let sessions: Vec<_> = self
            .links()
            .iter()
            .filter(|(_, held)| !held.handed_over)
            .filter_map(|(link, held)| Some((*link, Arc::clone(&held.tunnel), held.session?)))
            .collect();
        sessions
            .into_iter()
            .filter_map(|(link, tunnel, SessionGrant { id, token, .. })| {
                let received =
                    tunnel.with(|link| link.is_suspended().then(|| link.received_packets()))?;
                let offer = ResumeOffer {
                    id,
                    token,
                    received,
                };
                Some((link, offer))
            })
            .take(MAX_RESUME_OFFERS)
            .collect()
    }

    /// Whether there is a session that is, or may be, offered some time.
    fn holds_sessions(&self) -> bool {
        self.links().values().any(|held| held.session.is_some())
    }

    /// Gives a link's task another transport. It takes one at a time; a second is closed by its drop.
    fn hand_over(
        &self,
        link: LinkId,
        transports: &mpsc::Sender<Box<Established<R>>>,
        established: Box<Established<R>>,
    ) {
        let refused = {
            // Noted under the lock that the task needs to take the note back: it may be at that already.
            let mut links = self.links();
            let Some(held) = links.get_mut(&link) else {
                return;
            };
            let sent = transports.try_send(established);
            held.handed_over |= sent.is_ok();
            sent
        };
        drop(refused);
    }

    fn tunnels(&self) -> Vec<Arc<Tunnel<Link>>> {
        let links = self.links();
        links
            .values()
            .map(|held| Arc::clone(&held.tunnel))
            .collect()
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<LinkId, HeldLink>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fleet and the tasks that it set off.
struct FleetRun<R: Runtime> {
    agent: Arc<Agent<R>>,
    fleet: Fleet,
    reports: mpsc::Sender<Report<R>>,
    inbox: mpsc::Receiver<Report<R>>,
    attempt: Option<R::Task>,
    /// Where the last attempt leads.
    host: usize,
    /// Hands other transports to the tasks of links.
    transports: BTreeMap<LinkId, mpsc::Sender<Box<Established<R>>>>,
    next_link: u64,
    timer: Timer<R>,
}

impl<R: Runtime> FleetRun<R> {
    async fn run(mut self) {
        let mut draining = self.agent.draining.subscribe();
        let mut stopped = self.agent.stopped.subscribe();
        let mut leases = self.agent.leases.subscribe();
        leases.mark_changed();
        loop {
            self.drain_outputs(None);
            self.timer.set(self.fleet.poll_timeout());
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                _ = draining.wait_for(|draining| *draining), if !self.fleet.is_draining() => {
                    tracing::info!("draining: no new connections to servers");
                    self.fleet.handle_drain();
                    for tunnel in self.agent.tunnels() {
                        tunnel.with(Link::drain);
                    }
                }
                report = self.inbox.recv() => {
                    if let Some(report) = report {
                        self.handle(report);
                    }
                }
                now = std::future::poll_fn(|cx| self.timer.poll(cx)) => {
                    self.fleet.handle_timeout(now, &mut Random);
                }
                // The agent, which is the other end, lives as long as this.
                Ok(()) = leases.changed() => {
                    let leases = leases.borrow_and_update().clone();
                    if leases.is_some() {
                        let now = self.agent.runtime.now();
                        self.fleet.handle_leases(now, leases, &mut Random);
                    }
                }
            }
        }
        if let Some(attempt) = self.attempt.take() {
            attempt.abort();
        }
        self.end().await;
    }

    /// Waits, not for ever, until servers have been told and endpoint connections are gone: a process that ends may
    /// end right after this.
    async fn end(self) {
        let Self {
            agent,
            reports,
            mut inbox,
            transports,
            ..
        } = self;
        let tunnels = agent.tunnels();
        drop((reports, transports));
        let runtime = &agent.runtime;
        let ended = async {
            // Closed with the last task of a link.
            while inbox.recv().await.is_some() {}
            let open = |tunnel: &Arc<Tunnel<Link>>| tunnel.with(|link| link.stream_count() > 0);
            while tunnels.iter().any(open) {
                runtime.sleep_until(runtime.now() + END_LOOK).await;
            }
        };
        if timeout_at(runtime, runtime.now() + END_TIME, ended)
            .await
            .is_err()
        {
            tracing::debug!("something of the agent is left after its end");
        }
    }

    fn handle(&mut self, report: Report<R>) {
        let now = self.agent.runtime.now();
        match report {
            Report::Connected(attempt, established) if established.resumed.is_some() => {
                let Some(Resumed { link, .. }) = established.resumed else {
                    return;
                };
                let wanted = self.fleet.handle_resumed(now, attempt, link, &mut Random);
                self.agent.metrics.attempted(if wanted {
                    AttemptResult::Resumed
                } else {
                    AttemptResult::NotNeeded
                });
                if wanted {
                    let (host, address) = (established.host, established.address);
                    self.agent.targets().handle_link_up(link, host, address);
                }
                // One that is not wanted is closed by its drop.
                if let (true, Some(transports)) = (wanted, self.transports.get(&link)) {
                    self.agent.hand_over(link, transports, established);
                }
            }
            Report::Connected(attempt, established) => {
                let link = LinkId(self.next_link);
                self.next_link += 1;
                let hello = established.hello.clone();
                self.fleet
                    .handle_connected(now, attempt, link, hello, &mut Random);
                self.drain_outputs(Some((link, established)));
            }
            Report::AttemptFailed(attempt) => {
                self.agent.metrics.attempted(AttemptResult::Failed);
                self.fleet.handle_attempt_failed(now, attempt, &mut Random);
            }
            Report::GoingAway(link) => self.fleet.handle_go_away(now, link, &mut Random),
            Report::ServerDraining(link) => {
                self.fleet.handle_server_draining(now, link, &mut Random);
            }
            Report::Suspended(link) => {
                self.agent.targets().handle_link_lost(link);
                self.fleet.handle_link_suspended(now, link);
            }
            Report::Down(link) => {
                self.transports.remove(&link);
                self.agent.targets().handle_link_lost(link);
                self.fleet.handle_link_down(now, link, &mut Random);
            }
        }
    }

    /// Carries out what the fleet decided; a link just established is accepted or dropped on the way.
    fn drain_outputs(&mut self, mut new: Option<(LinkId, Box<Established<R>>)>) {
        while let Some(action) = self.fleet.poll_action() {
            match action {
                FleetAction::StartAttempt { attempt } => {
                    let (agent, reports) = (Arc::clone(&self.agent), self.reports.clone());
                    let host = agent.targets().next_host();
                    self.host = host;
                    let connecting = async move {
                        let report = match agent.connect(host).await {
                            Ok(established) => {
                                agent.trouble().attempt = None;
                                Report::Connected(attempt, Box::new(established))
                            }
                            Err(error) => {
                                agent.trouble().attempt = Some(error.to_string());
                                tracing::warn!(server = agent.servers[host].address, %error, "cannot connect to the proxy server");
                                Report::AttemptFailed(attempt)
                            }
                        };
                        // An error means that nobody is interested any more.
                        let _ = reports.send(report).await;
                    };
                    self.attempt = Some(self.agent.runtime.spawn(connecting));
                }
                FleetAction::CancelAttempt { .. } => {
                    if let Some(attempt) = self.attempt.take() {
                        attempt.abort();
                    }
                }
                FleetAction::AcceptLink { link } => {
                    if let Some((_, established)) = new.take_if(|(id, _)| *id == link) {
                        self.agent.metrics.attempted(AttemptResult::Connected);
                        let (host, address) = (established.host, established.address);
                        self.agent.targets().handle_link_up(link, host, address);
                        let (transports, inbox) = mpsc::channel(1);
                        self.transports.insert(link, transports);
                        let reports = self.reports.clone();
                        self.agent.serve_link(link, *established, inbox, reports);
                    }
                }
                FleetAction::EndLink { link } => {
                    let held = self
                        .agent
                        .links()
                        .get(&link)
                        .map(|held| Arc::clone(&held.tunnel));
                    if let Some(tunnel) = held {
                        tracing::warn!(%link, "the server knows the session of a lost tunnel no more, its streams end");
                        let now = self.agent.runtime.now();
                        tunnel.with(|link| link.handle_ended(now, CloseReason::SessionUnknown));
                    }
                }
                FleetAction::CloseLink { link, reason } => {
                    tracing::debug!(%link, %reason, "connection to a server not needed");
                    if new.take_if(|(id, _)| *id == link).is_some() {
                        self.agent.metrics.attempted(AttemptResult::NotNeeded);
                    }
                }
            }
        }
        while let Some(event) = self.fleet.poll_event() {
            self.observe(event);
        }
    }

    fn observe(&self, event: FleetEvent) {
        match event {
            FleetEvent::KnownServers { count } => {
                tracing::debug!(count, "expected number of servers");
                self.agent.metrics.known_servers(count);
                self.agent.trouble().known_servers = count;
            }
            FleetEvent::Links { connected, leaving } => {
                tracing::info!(connected, leaving, "connections to servers");
                self.agent.connected.send_replace(connected);
                self.agent.metrics.open_servers(connected + leaving);
            }
            FleetEvent::AttemptTimedOut { timeout, .. } => {
                self.agent.metrics.attempted(AttemptResult::TimedOut);
                tracing::warn!(
                    server = self.agent.servers[self.host].address,
                    ?timeout,
                    "connecting to the proxy server took too long"
                );
                self.agent.trouble().attempt = Some(format!("no answer within {timeout:?}"));
            }
            FleetEvent::Waiting { wait, .. } => tracing::debug!(?wait, "next attempt to connect"),
            FleetEvent::LinkLimitReached { limit } => {
                tracing::warn!(limit, "no further servers are connected to");
            }
        }
    }
}

/// The thread's generator, for jitter: nothing that guards access.
struct Random;

impl Entropy for Random {
    fn next_u64(&mut self) -> u64 {
        fastrand::u64(..)
    }
}
