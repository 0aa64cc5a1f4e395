//! The proxy agent: connected to every server that it is to serve, dialling endpoints for them.

mod attempt;
mod config;
mod endpoint;
mod link;
mod observer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dialback_core::agent::fleet::{AttemptId, FleetConfigError};
use dialback_core::agent::{Fleet, FleetAction, FleetEvent, Link};
use dialback_core::{Entropy, LinkId};
use tokio::sync::{mpsc, watch};

use self::attempt::Established;
pub use self::config::{AgentConfig, AgentConfigError};
use crate::grpc::Target;
use crate::metrics::AgentMetrics;
use crate::runtime::{Runtime, Task};
use crate::timer::Timer;
use crate::tunnel::Tunnel;

/// Reports of attempts and links that may wait for the fleet; their tasks wait beyond that.
const REPORTS: usize = 64;

/// A proxy agent.
#[derive(Debug)]
pub struct Agent<R: Runtime> {
    runtime: R,
    config: AgentConfig,
    target: Target,
    metrics: Arc<AgentMetrics>,
    tunnels: Mutex<BTreeMap<LinkId, Arc<Tunnel<Link>>>>,
    connected: watch::Sender<usize>,
    draining: watch::Sender<bool>,
    stopped: watch::Sender<bool>,
}

/// What the fleet hears of the tasks that work for it.
enum Report<R: Runtime> {
    Connected(AttemptId, Box<Established<R>>),
    AttemptFailed(AttemptId),
    GoingAway(LinkId),
    Down(LinkId),
}

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
        let target = config.target()?;
        Ok(Arc::new(Self {
            runtime,
            config,
            target,
            metrics,
            tunnels: Mutex::new(BTreeMap::new()),
            connected: watch::Sender::new(0),
            draining: watch::Sender::new(false),
            stopped: watch::Sender::new(false),
        }))
    }

    /// Connects to servers and serves them until [`Agent::stop`].
    ///
    /// # Errors
    /// The fleet's part of the configuration could not work.
    pub async fn run(self: &Arc<Self>) -> Result<(), FleetConfigError> {
        let fleet = Fleet::new(self.config.fleet.clone(), self.runtime.now())?;
        let (reports, inbox) = mpsc::channel(REPORTS);
        let mut run = FleetRun {
            agent: Arc::clone(self),
            fleet,
            reports,
            inbox,
            attempt: None,
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

    /// Follows [`Agent::connected`].
    #[must_use]
    pub fn watch_connected(&self) -> watch::Receiver<usize> {
        self.connected.subscribe()
    }

    /// Streams of all tunnels, pending dials included.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        let tunnels: Vec<_> = self.tunnels().values().cloned().collect();
        tunnels
            .iter()
            .map(|tunnel| tunnel.with(|link| link.stream_count()))
            .sum()
    }

    fn tunnels(&self) -> MutexGuard<'_, BTreeMap<LinkId, Arc<Tunnel<Link>>>> {
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fleet and the tasks that it set off.
struct FleetRun<R: Runtime> {
    agent: Arc<Agent<R>>,
    fleet: Fleet,
    reports: mpsc::Sender<Report<R>>,
    inbox: mpsc::Receiver<Report<R>>,
    attempt: Option<R::Task>,
    next_link: u64,
    timer: Timer<R>,
}

impl<R: Runtime> FleetRun<R> {
    async fn run(&mut self) {
        let mut draining = self.agent.draining.subscribe();
        let mut stopped = self.agent.stopped.subscribe();
        loop {
            self.drain_outputs(None);
            self.timer.set(self.fleet.poll_timeout());
            tokio::select! {
                report = self.inbox.recv() => {
                    if let Some(report) = report {
                        self.handle(report);
                    }
                }
                now = std::future::poll_fn(|cx| self.timer.poll(cx)) => {
                    self.fleet.handle_timeout(now, &mut Random);
                }
                _ = draining.wait_for(|draining| *draining), if !self.fleet.is_draining() => {
                    tracing::info!("draining: no new connections to servers");
                    self.fleet.handle_drain();
                    for tunnel in self.agent.tunnels().values() {
                        tunnel.with(Link::drain);
                    }
                }
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        if let Some(attempt) = self.attempt.take() {
            attempt.abort();
        }
    }

    fn handle(&mut self, report: Report<R>) {
        let now = self.agent.runtime.now();
        match report {
            Report::Connected(attempt, established) => {
                let link = LinkId(self.next_link);
                self.next_link += 1;
                let hello = established.hello.clone();
                self.fleet
                    .handle_connected(now, attempt, link, hello, &mut Random);
                self.drain_outputs(Some((link, established)));
            }
            Report::AttemptFailed(attempt) => {
                self.fleet.handle_attempt_failed(now, attempt, &mut Random);
            }
            Report::GoingAway(link) => self.fleet.handle_go_away(now, link, &mut Random),
            Report::Down(link) => self.fleet.handle_link_down(now, link, &mut Random),
        }
    }

    /// Carries out what the fleet decided; a link just established is accepted or dropped on the way.
    fn drain_outputs(&mut self, mut new: Option<(LinkId, Box<Established<R>>)>) {
        while let Some(action) = self.fleet.poll_action() {
            match action {
                FleetAction::StartAttempt { attempt } => {
                    let (agent, reports) = (Arc::clone(&self.agent), self.reports.clone());
                    let connecting = async move {
                        let report = match agent.connect().await {
                            Ok(established) => Report::Connected(attempt, Box::new(established)),
                            Err(error) => {
                                tracing::warn!(server = agent.config.server(), %error, "cannot connect to the proxy server");
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
                        self.agent
                            .serve_link(link, *established, self.reports.clone());
                    }
                }
                FleetAction::CloseLink { link, reason } => {
                    tracing::debug!(%link, %reason, "connection to a server not needed");
                    new.take_if(|(id, _)| *id == link);
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
            }
            FleetEvent::Links { connected, leaving } => {
                tracing::info!(connected, leaving, "connections to servers");
                self.agent.connected.send_replace(connected);
                self.agent.metrics.open_servers(connected + leaving);
            }
            FleetEvent::AttemptTimedOut { timeout, .. } => {
                tracing::warn!(
                    server = self.agent.config.server(),
                    ?timeout,
                    "connecting to the proxy server took too long"
                );
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
