//! How much each frontend, tenant, agent and destination may have: dials per second, streams at a time, bytes per second.
//!
//! A [`Throttle`] is asked once a dial and told when a stream ends; dials over a limit wait for their turn, in a queue in
//! which everybody who waits is served in turn, and are refused when they have waited for too long or too many wait.
//! Bytes are told of as they pass: what is over a limit makes its source wait, and nothing is ever dropped.
//!
//! Pure, as everything here: time comes in as an argument, and whoever drives it wakes those who wait.

mod bucket;
mod limit;
mod queue;
mod read;
mod table;
#[cfg(test)]
mod tests;
mod ticket;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::identity::Identity;
use crate::server::without_port;

pub use bucket::Bucket;
pub use limit::{Limit, LimitSubject, Rate, ThrottleConfig};
use queue::Queue;
pub use queue::WaiterId;
pub use read::ThrottleError;
use table::{Counted, CountsId, Table};
pub use ticket::{Direction, Ticket};

/// Whom a dial is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialling {
    /// The frontend's name: [`Identity::name`](crate::Identity::name).
    pub frontend: String,
    /// The tenant that it is for, where there are tenants.
    pub tenant: Option<String>,
    /// The destination's host, or address, without its port.
    pub destination: String,
}

impl Dialling {
    /// A dial by `frontend` to `address` (`host:port`). Upper and lower case are one, and so is a name with the root's dot.
    #[must_use]
    pub fn new(frontend: &Identity, tenant: Option<&str>, address: &str) -> Self {
        let host = without_port(address).trim_end_matches('.');
        Self {
            frontend: frontend.name(),
            tenant: tenant.map(str::to_owned),
            destination: host.to_lowercase(),
        }
    }
}

/// What becomes of a dial.
#[derive(Debug)]
pub enum Admission {
    /// It may start.
    Admitted(Ticket),
    /// It waits: [`Throttle::poll`] names it when it is decided.
    Waits(WaiterId),
    /// It is over a limit.
    Refused(Refusal),
}

/// Why a dial was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The limit, by its name.
    pub limit: String,
    /// What it is a limit of, such as `dials per second of each frontend`.
    pub what: String,
    /// When another attempt may have a chance.
    pub retry_after: Duration,
}

/// Who is admitted, and when: see the [module](self).
#[derive(Debug)]
pub struct Throttle {
    config: ThrottleConfig,
    tables: Vec<Table>,
    counted: Counted,
    queue: Queue,
    /// Dials that were decided since they were asked about.
    decided: BTreeMap<WaiterId, Result<Ticket, Refusal>>,
}

/// A limit that has no room: which, and when it may have.
struct Full {
    limit: usize,
    /// `None` where that depends on others.
    until: Option<Duration>,
    dials: bool,
}

impl Throttle {
    /// A throttle in which nothing goes on.
    #[must_use]
    pub fn new(config: ThrottleConfig) -> Self {
        Self {
            tables: config.limits.iter().map(|_| Table::default()).collect(),
            counted: Counted::default(),
            queue: Queue::default(),
            decided: BTreeMap::new(),
            config,
        }
    }

    /// Other limits from now on. What goes on counts in those of the same name; what waits is decided by the new ones, with
    /// the next [`Throttle::poll`].
    pub fn reconfigure(&mut self, now: Instant, config: ThrottleConfig) {
        let mut former: BTreeMap<String, Table> = std::mem::take(&mut self.config.limits)
            .into_iter()
            .map(|limit| limit.name)
            .zip(std::mem::take(&mut self.tables))
            .collect();
        self.tables = config
            .limits
            .iter()
            .map(|limit| {
                let table = former.remove(&limit.name).unwrap_or_default();
                table.set_limit(&mut self.counted, now, limit);
                table
            })
            .collect();
        for table in former.into_values() {
            table.clear(&mut self.counted);
        }
        self.config = config;
    }

    /// Asks for a dial.
    pub fn dial(&mut self, now: Instant, dialling: Dialling) -> Admission {
        // Nobody overtakes those of the same frontend who wait already.
        if !self.queue.has(&dialling.frontend) {
            match self.take(now, &dialling) {
                Ok(ticket) => return Admission::Admitted(ticket),
                Err(full) => {
                    if self.config.max_wait.is_zero() || self.queue.len() >= self.config.max_waiting
                    {
                        return Admission::Refused(self.refusal(&full));
                    }
                }
            }
        } else if self.queue.len() >= self.config.max_waiting {
            return match self.find_full(now, &dialling) {
                Some(full) => Admission::Refused(self.refusal(&full)),
                None => Admission::Refused(self.crowded()),
            };
        }
        let until = now.checked_add(self.config.max_wait);
        Admission::Waits(self.queue.push(dialling, until))
    }

    /// Decides about those who wait, and names those about whom it was decided.
    ///
    /// To be called when [`Throttle::poll_timeout`] says so, after [`Throttle::release`] and after
    /// [`Throttle::reconfigure`].
    pub fn poll(&mut self, now: Instant) -> Vec<WaiterId> {
        let mut decided = Vec::new();
        for waiter in self.queue.expire(now) {
            let full = self.find_full(now, &waiter.dialling);
            let refusal = full.map_or_else(|| self.crowded(), |full| self.refusal(&full));
            self.decided.insert(waiter.id, Err(refusal));
            decided.push(waiter.id);
        }
        // Each frontend's oldest in turn, until a whole round brought nothing.
        let mut fruitless = 0;
        while fruitless < self.queue.frontends() {
            let Some(dialling) = self.queue.front().cloned() else {
                break;
            };
            match self.take(now, &dialling) {
                Ok(ticket) => {
                    if let Some(id) = self.queue.pop_front() {
                        self.decided.insert(id, Ok(ticket));
                        decided.push(id);
                    }
                    fruitless = 0;
                }
                Err(_) => {
                    self.queue.skip();
                    fruitless += 1;
                }
            }
        }
        decided
    }

    /// The decision about one who waited, if it was made; for once.
    pub fn take_decision(&mut self, id: WaiterId) -> Option<Result<Ticket, Refusal>> {
        self.decided.remove(&id)
    }

    /// One who waits, or waited, has gone away.
    pub fn give_up(&mut self, id: WaiterId) {
        self.queue.remove(id);
        if let Some(Ok(ticket)) = self.decided.remove(&id) {
            self.release(ticket);
        }
    }

    /// A stream has ended, or its dial has failed.
    pub fn release(&mut self, ticket: Ticket) {
        for id in ticket.held.into_iter().chain(ticket.agent) {
            self.leave(id);
        }
    }

    /// So many bytes of a stream have passed; [`Ticket::waits_until`] says until when no more may.
    pub fn pass(&mut self, now: Instant, ticket: &mut Ticket, direction: Direction, bytes: usize) {
        let mut longest = None;
        for id in ticket.held.iter().chain(&ticket.agent) {
            let counts = self.counted.get(*id);
            let wait = counts.and_then(|counts| counts.pass(now, direction, bytes));
            longest = longest.max(wait);
        }
        ticket.until[direction as usize] = longest.and_then(|wait| now.checked_add(wait));
    }

    /// Whether an agent may get another dial; if not, which limit is in the way. Nobody waits for one agent.
    pub fn agent_refusal(&mut self, now: Instant, agent: &str) -> Option<Refusal> {
        let full = self.full_of(now, |limit| limit.agent_key(agent))?;
        Some(self.refusal(&full))
    }

    /// A dial is given to this agent, and counts for it and no more for the one before.
    pub fn take_agent(&mut self, now: Instant, agent: &str, ticket: &mut Ticket) {
        for id in std::mem::take(&mut ticket.agent) {
            self.leave(id);
        }
        let held = std::mem::take(&mut ticket.held);
        self.count(now, ticket, |limit| limit.agent_key(agent));
        ticket.agent = std::mem::replace(&mut ticket.held, held);
    }

    /// What is counted no more has no limit any more.
    fn leave(&mut self, id: CountsId) {
        if let Some(counts) = self.counted.get(id) {
            counts.leave();
        }
    }

    /// When [`Throttle::poll`] has something to do, should nothing else happen.
    #[must_use]
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let expiry = self.queue.first_expiry();
        let heads: Vec<Dialling> = self.queue.heads().cloned().collect();
        let room = heads.iter().filter_map(|dialling| {
            let wait = match self.find_full(now, dialling) {
                Some(full) => full.until?,
                None => Duration::ZERO,
            };
            now.checked_add(wait)
        });
        room.chain(expiry).min()
    }

    /// Dials that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The limits, by name, with how many keys each counts for.
    pub fn limits(&self) -> impl Iterator<Item = (&str, usize)> {
        let names = self.config.limits.iter().map(|limit| limit.name.as_str());
        names.zip(self.tables.iter().map(Table::len))
    }

    fn take(&mut self, now: Instant, dialling: &Dialling) -> Result<Ticket, Full> {
        if let Some(full) = self.find_full(now, dialling) {
            return Err(full);
        }
        let mut ticket = Ticket::default();
        self.count(now, &mut ticket, |limit| limit.key(dialling));
        Ok(ticket)
    }

    fn count<'a>(
        &mut self,
        now: Instant,
        ticket: &mut Ticket,
        key: impl Fn(&Limit) -> Option<&'a str>,
    ) {
        for (limit, table) in self.config.limits.iter().zip(&mut self.tables) {
            if let Some(key) = key(limit) {
                let id = table.counts(&mut self.counted, now, limit, key);
                if let Some(counts) = self.counted.get(id) {
                    counts.enter(now);
                    ticket.is_shaped |= counts.shapes();
                    ticket.held.push(id);
                }
            }
        }
    }

    fn find_full(&mut self, now: Instant, dialling: &Dialling) -> Option<Full> {
        self.full_of(now, |limit| limit.key(dialling))
    }

    /// The limit that has no room and will be the last to have some.
    fn full_of<'a>(
        &mut self,
        now: Instant,
        key: impl Fn(&Limit) -> Option<&'a str>,
    ) -> Option<Full> {
        let limits = self.config.limits.iter().zip(&mut self.tables).enumerate();
        let full = limits.filter_map(|(position, (limit, table))| {
            let id = table.counts(&mut self.counted, now, limit, key(limit)?);
            let counts = self.counted.get(id)?;
            if counts.is_at_ceiling() {
                return Some(Full {
                    limit: position,
                    until: None,
                    dials: false,
                });
            }
            let wait = counts.dial_wait(now)?;
            Some(Full {
                limit: position,
                until: Some(wait),
                dials: true,
            })
        });
        // Those that depend on others first.
        full.max_by_key(|full| (full.until.is_none(), full.until))
    }

    fn refusal(&self, full: &Full) -> Refusal {
        let limit = self.config.limits.get(full.limit);
        let name = limit.map_or_else(String::new, |limit| limit.name.clone());
        let what = limit.map_or_else(String::new, |limit| limit.what(full.dials));
        Refusal {
            limit: name,
            what,
            retry_after: full.until.unwrap_or(Duration::from_secs(1)),
        }
    }

    /// No limit is in the way, but others are.
    fn crowded(&self) -> Refusal {
        Refusal {
            limit: "maxWaiting".to_owned(),
            what: format!("{} dials that wait", self.config.max_waiting),
            retry_after: Duration::from_secs(1),
        }
    }
}
