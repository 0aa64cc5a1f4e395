//! Which servers an agent is connected to, and when it tries to find another.

mod config;
mod event;
mod server_count;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub use config::{FleetConfig, FleetConfigError};
pub use event::{AttemptId, FleetAction, FleetEvent, LinkRefused, ServerHello};
use server_count::ServerCount;
pub use server_count::{ServerCountSource, ServerLeases};
pub use targets::Targets;

use super::backoff::{self, Backoff};
use crate::entropy::Entropy;
use crate::ids::LinkId;

/// A transport that was lost sooner counts as one that was hardly there.
const SHORT_LIFE: Duration = Duration::from_millis(100);
/// How long the attempt after a transport that was hardly there waits at least; doubled with each in a row.
const FIRST_WAIT: Duration = Duration::from_millis(5);

/// The links of one agent to all servers.
///
/// An attempt leads to one of the [`Targets`], and learns only then which server it reached. The fleet goes on
/// until it has a link to as many different servers as there are said to be, or to each that has a Lease; a second link
/// to the same server is closed. One attempt is under way at a time, and the next starts no sooner than `sync_interval` after
/// it ended (Konnectivity agent, `pkg/agent/clientset.go`, `sync`).
///
/// When a link is lost the fleet looks for another at once, also while it waits after failures; only the pace
/// above and a random delay of up to a tenth of `sync_interval` hold it back, the latter because every agent of
/// a cluster loses the same server at the same moment. (The reference finds out with its next tick.)
///
/// A link whose server said GOAWAY is *leaving*: it serves its streams to the end, and the driver closes it
/// when the last has gone, but it no longer counts as connected, so that a new link, to the same server or
/// another, is made before the old one breaks. Links are told apart by [`LinkId`], never by server id.
///
/// A link whose server said that it is *draining* (`drain/1`) still counts as connected, but another server is looked
/// for as if it were not there; should an attempt lead to the same one, that link is a second one and closed.
///
/// A link whose transport was lost and whose session may be resumed is *suspended*: it does not count as
/// connected, and attempts, which offer to resume every such session, go on until it is resumed or down, also while
/// the agent drains. The first follows at once, unless the transport before was hardly there. Where a server is met
/// that should know a session and does not, or there is only one server, the session is over
/// ([`FleetAction::EndLink`]); another replica's is still looked for, and so is one that was lost while the attempt
/// was under way: the server was not asked for it.
///
/// The driver starts by calling [`Fleet::handle_timeout`] when [`Fleet::poll_timeout`] says so, which is at
/// once. After every input it drains [`Fleet::poll_action`] and [`Fleet::poll_event`].
#[derive(Debug)]
pub struct Fleet {
    config: FleetConfig,
    backoff: Backoff,
    server_count: ServerCount,
    /// The last count that was told in an event.
    known_servers: u64,
    links: BTreeMap<LinkId, ServerLink>,
    attempt: Option<Attempt>,
    attempts: u64,
    /// When the next attempt starts; `None` while none is wanted or one is under way.
    due: Option<Instant>,
    /// No attempt starts sooner. `None`, a time that `Instant` can't hold, is never.
    not_before: Option<Instant>,
    draining: bool,
    /// Transports in a row that were lost as soon as they were there.
    short_lived: u32,
    actions: VecDeque<FleetAction>,
    events: VecDeque<FleetEvent>,
}

#[derive(Debug)]
struct ServerLink {
    server_id: String,
    leaving: bool,
    draining: bool,
    suspended: bool,
    /// When it got its present transport, or its last.
    since: Instant,
}

impl ServerLink {
    const fn is_connected(&self) -> bool {
        !self.leaving && !self.suspended
    }

    /// Connected, and as far as is known for good.
    const fn is_lasting(&self) -> bool {
        self.is_connected() && !self.draining
    }
}

#[derive(Debug)]
struct Attempt {
    id: AttemptId,
    deadline: Option<Instant>,
    /// Links that were suspended when it started, and are offered to whichever server it leads to.
    offered: BTreeSet<LinkId>,
}

impl Fleet {
    /// A fleet without links, whose first attempt is due at once.
    ///
    /// # Errors
    ///
    /// When `config` could not work; see [`FleetConfigError`].
    pub fn new(config: FleetConfig, now: Instant) -> Result<Self, FleetConfigError> {
        config.check()?;
        let server_count = ServerCount::new(config.server_count_source);
        let known_servers = server_count.expected();
        Ok(Self {
            backoff: Backoff::new(config.sync_interval, config.sync_interval_cap),
            config,
            server_count,
            known_servers,
            links: BTreeMap::new(),
            attempt: None,
            attempts: 0,
            due: Some(now),
            not_before: Some(now),
            draining: false,
            short_lived: 0,
            actions: VecDeque::new(),
            events: VecDeque::from([FleetEvent::KnownServers {
                count: known_servers,
            }]),
        })
    }

    // ---- inputs ----

    /// An attempt has led to a link, which the driver has named.
    ///
    /// Answered by [`FleetAction::AcceptLink`] or [`FleetAction::CloseLink`].
    pub fn handle_connected(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        link: LinkId,
        hello: ServerHello,
        entropy: &mut impl Entropy,
    ) {
        let ServerHello {
            server_id,
            server_count,
        } = hello;
        let Some(Attempt { offered, .. }) = self.end_attempt(attempt) else {
            let reason = LinkRefused::AttemptOver { attempt, link };
            self.actions
                .push_back(FleetAction::CloseLink { link, reason });
            return;
        };
        self.end_forgotten(&server_id, server_count, &offered);
        let not_offered = self.suspended_at(&server_id, &offered);
        if let Some(suspended) = not_offered {
            let reason = LinkRefused::NotOffered { suspended };
            self.actions
                .push_back(FleetAction::CloseLink { link, reason });
        } else if self.draining {
            // The attempt was for the sake of a session.
            let reason = LinkRefused::Draining;
            self.actions
                .push_back(FleetAction::CloseLink { link, reason });
        } else if self.is_connected_to(&server_id) {
            let reason = LinkRefused::Duplicate { server_id };
            self.actions
                .push_back(FleetAction::CloseLink { link, reason });
        } else {
            let server_link = ServerLink {
                server_id,
                leaving: false,
                draining: false,
                suspended: false,
                since: now,
            };
            let replaced = self.links.insert(link, server_link);
            debug_assert!(replaced.is_none(), "the driver used {link} twice");
            self.actions.push_back(FleetAction::AcceptLink { link });
            // A duplicate's count is not taken, as in the reference.
            self.server_count.set_response(server_count);
            self.tell_server_count();
            self.tell_links();
            if self.links.len() == self.config.max_links {
                let limit = self.config.max_links;
                self.events
                    .push_back(FleetEvent::LinkLimitReached { limit });
            }
        }
        self.backoff.reset();
        let wait = backoff::jittered(self.config.sync_interval, entropy);
        self.pause(now, wait);
        if not_offered.is_some() {
            self.due = Some(now);
        }
    }

    /// An attempt has led to another transport for a suspended link, or for one whose loss was not noticed.
    ///
    /// `false` when the link, or the attempt, is over: the driver closes the transport.
    pub fn handle_resumed(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        link: LinkId,
        entropy: &mut impl Entropy,
    ) -> bool {
        if self.end_attempt(attempt).is_none() {
            return false;
        }
        self.backoff.reset();
        let known = self.links.get_mut(&link).map(|server_link| {
            server_link.suspended = false;
            server_link.leaving = false;
            server_link.since = now;
        });
        if known.is_some() {
            self.tell_links();
        }
        let wait = backoff::jittered(self.config.sync_interval, entropy);
        self.pause(now, wait);
        if self.has_suspended() {
            self.due = Some(now);
        }
        known.is_some()
    }

    /// The sessions that this server should know, had they not ended there.
    fn end_forgotten(&mut self, server_id: &str, server_count: i64, offered: &BTreeSet<LinkId>) {
        for (link, server_link) in &self.links {
            let refused = server_link.server_id == server_id && offered.contains(link);
            let replaced = server_link.server_id != server_id && server_count <= 1;
            if server_link.suspended && (refused || replaced) {
                self.actions.push_back(FleetAction::EndLink { link: *link });
            }
        }
    }

    /// A link that waits for this server and was not offered to it.
    fn suspended_at(&self, server_id: &str, offered: &BTreeSet<LinkId>) -> Option<LinkId> {
        let mut links = self.links.iter();
        let waiting = links.find(|(link, server_link)| {
            let same = server_link.server_id == server_id;
            server_link.suspended && same && !offered.contains(link)
        });
        waiting.map(|(link, _)| *link)
    }

    /// An attempt has failed, for whatever reason; the driver has logged it.
    pub fn handle_attempt_failed(
        &mut self,
        now: Instant,
        attempt: AttemptId,
        entropy: &mut impl Entropy,
    ) {
        if self.end_attempt(attempt).is_some() {
            self.wait_after_failure(now, attempt, entropy);
        }
    }

    /// A link has lost its transport and waits for another.
    pub fn handle_link_suspended(&mut self, now: Instant, link: LinkId) {
        let Some(server_link) = self.links.get_mut(&link) else {
            return;
        };
        if std::mem::replace(&mut server_link.suspended, true) {
            return;
        }
        let lived = now.saturating_duration_since(server_link.since);
        self.short_lived = if lived < SHORT_LIFE {
            self.short_lived.saturating_add(1)
        } else {
            0
        };
        self.tell_links();
        if self.attempt.is_none() {
            let wait = match self.short_lived {
                0 => Duration::ZERO,
                count => FIRST_WAIT
                    .saturating_mul(1 << count.min(16))
                    .min(self.config.sync_interval),
            };
            let soon = now.checked_add(wait);
            self.due = match (self.due, soon) {
                (Some(due), Some(soon)) => Some(due.min(soon)),
                (due, soon) => due.or(soon),
            };
        }
    }

    /// A link has ended. One that this fleet does not know, such as a refused one, is ignored.
    pub fn handle_link_down(&mut self, now: Instant, link: LinkId, entropy: &mut impl Entropy) {
        let Some(lost) = self.links.remove(&link) else {
            return;
        };
        self.tell_links();
        if lost.leaving || lost.suspended {
            // It was replaced when it began to leave, or looked for since its loss; but there may be room for another now.
            self.plan(now, entropy);
        } else {
            self.hasten(now, entropy);
        }
    }

    /// A link's server said GOAWAY: the link is leaving.
    ///
    /// The driver closes it once its streams have ended, and then calls [`Fleet::handle_link_down`].
    pub fn handle_go_away(&mut self, now: Instant, link: LinkId, entropy: &mut impl Entropy) {
        if let Some(server_link) = self.links.get_mut(&link)
            && !std::mem::replace(&mut server_link.leaving, true)
        {
            self.tell_links();
            self.hasten(now, entropy);
        }
    }

    /// A link's server said that it is about to stop; see [`LinkEvent::ServerDraining`](crate::agent::LinkEvent).
    pub fn handle_server_draining(
        &mut self,
        now: Instant,
        link: LinkId,
        entropy: &mut impl Entropy,
    ) {
        if let Some(server_link) = self.links.get_mut(&link)
            && !std::mem::replace(&mut server_link.draining, true)
        {
            self.hasten(now, entropy);
        }
    }

    /// The servers that have valid Leases, or `None` when that is not known.
    ///
    /// Looked at only when the configured source counts leases. A list that could not be had is no reason to
    /// call this: the last good one stands.
    pub fn handle_leases(
        &mut self,
        now: Instant,
        leases: Option<ServerLeases>,
        entropy: &mut impl Entropy,
    ) {
        self.server_count.set_leases(leases);
        self.tell_server_count();
        self.plan(now, entropy);
    }

    /// The agent is to end: no new connection is made ever again, not even for a lost one.
    ///
    /// Links stay as they are. The driver sends `DRAIN` on each.
    pub fn handle_drain(&mut self) {
        self.draining = true;
        if self.has_suspended() {
            return;
        }
        self.due = None;
        if let Some(Attempt { id: attempt, .. }) = self.attempt.take() {
            self.actions
                .push_back(FleetAction::CancelAttempt { attempt });
        }
    }

    /// The time of [`Fleet::poll_timeout`] has come; early or repeated calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant, entropy: &mut impl Entropy) {
        let timed_out = self
            .attempt
            .take_if(|attempt| attempt.deadline.is_some_and(|deadline| deadline <= now));
        if let Some(Attempt { id: attempt, .. }) = timed_out {
            let timeout = self.config.attempt_timeout;
            self.actions
                .push_back(FleetAction::CancelAttempt { attempt });
            self.events
                .push_back(FleetEvent::AttemptTimedOut { attempt, timeout });
            self.wait_after_failure(now, attempt, entropy);
        }
        if self.due.take_if(|due| *due <= now).is_some() {
            self.start_attempt(now);
        }
    }

    // ---- outputs ----

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<FleetAction> {
        self.actions.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<FleetEvent> {
        self.events.pop_front()
    }

    /// When [`Fleet::handle_timeout`] has something to do, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.attempt
            .as_ref()
            .and_then(|attempt| attempt.deadline)
            .or(self.due)
    }

    // ---- questions ----

    /// Links that count as connected to a server; the agent is ready while there is one.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.links
            .values()
            .filter(|link| link.is_connected())
            .count()
    }

    /// Links whose server said GOAWAY and whose streams have not all ended.
    #[must_use]
    pub fn leaving(&self) -> usize {
        self.links.values().filter(|link| link.leaving).count()
    }

    /// Links that wait for another transport.
    #[must_use]
    pub fn suspended(&self) -> usize {
        self.suspended_links().count()
    }

    fn suspended_links(&self) -> impl Iterator<Item = LinkId> {
        let links = self.links.iter().filter(|(_, link)| link.suspended);
        links.map(|(link, _)| *link)
    }

    fn has_suspended(&self) -> bool {
        self.suspended() > 0
    }

    /// The expected number of servers; at least one.
    #[must_use]
    pub fn known_servers(&self) -> u64 {
        self.known_servers
    }

    /// The server at the other end of a link.
    #[must_use]
    pub fn server_id(&self, link: LinkId) -> Option<&str> {
        self.links.get(&link).map(|link| link.server_id.as_str())
    }

    /// Whether [`Fleet::handle_drain`] was called.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    // ---- attempts ----

    fn start_attempt(&mut self, now: Instant) {
        self.attempts += 1;
        let attempt = AttemptId(self.attempts);
        self.attempt = Some(Attempt {
            id: attempt,
            deadline: now.checked_add(self.config.attempt_timeout),
            offered: self.suspended_links().collect(),
        });
        self.actions
            .push_back(FleetAction::StartAttempt { attempt });
    }

    /// `None` when this is not the attempt under way: it was given up before.
    fn end_attempt(&mut self, id: AttemptId) -> Option<Attempt> {
        self.attempt.take_if(|attempt| attempt.id == id)
    }

    fn wait_after_failure(&mut self, now: Instant, attempt: AttemptId, entropy: &mut impl Entropy) {
        let wait = self.backoff.step(entropy);
        self.pause(now, wait);
        if self.due.is_some() {
            self.events.push_back(FleetEvent::Waiting { attempt, wait });
        }
    }

    /// An attempt has ended: the next one, if any is wanted, starts after `wait`.
    fn pause(&mut self, now: Instant, wait: Duration) {
        self.not_before = now.checked_add(self.config.sync_interval);
        self.due = now.checked_add(wait).filter(|_| self.wants_attempt());
    }

    /// Something may have changed whether an attempt is wanted.
    fn plan(&mut self, now: Instant, entropy: &mut impl Entropy) {
        if !self.wants_attempt() {
            self.due = None;
            // Nothing left to do counts as a success.
            self.backoff.reset();
        } else if self.attempt.is_none() && self.due.is_none() {
            let soon = now.checked_add(backoff::spread(self.config.sync_interval, entropy));
            self.due = self
                .not_before
                .zip(soon)
                .map(|(paced, soon)| paced.max(soon));
        }
    }

    /// As [`Fleet::plan`], but a wait after failures is cut short: what was there is gone.
    ///
    /// Each link can do so once, when it stops counting as connected, and never below `not_before`.
    fn hasten(&mut self, now: Instant, entropy: &mut impl Entropy) {
        let planned = self.due.take();
        self.plan(now, entropy);
        self.due = match (self.due, planned) {
            (Some(soon), Some(planned)) => Some(soon.min(planned)),
            (due, _) => due,
        };
    }

    fn wants_attempt(&self) -> bool {
        if self.has_suspended() {
            return true;
        }
        let lasting = self.links.values().filter(|link| link.is_lasting());
        let lasting = lasting.map(|link| link.server_id.as_str()).collect();
        !self.draining
            && self.links.len() < self.config.max_links
            && (self.config.sync_forever || self.server_count.lacks_any(&lasting))
    }

    fn is_connected_to(&self, server_id: &str) -> bool {
        self.links
            .values()
            .any(|link| link.is_connected() && link.server_id == server_id)
    }

    // ---- events ----

    fn tell_server_count(&mut self) {
        let count = self.server_count.expected();
        if count != self.known_servers {
            self.known_servers = count;
            self.events.push_back(FleetEvent::KnownServers { count });
        }
    }

    fn tell_links(&mut self) {
        let (connected, leaving) = (self.connected(), self.leaving());
        self.events
            .push_back(FleetEvent::Links { connected, leaving });
    }
}
