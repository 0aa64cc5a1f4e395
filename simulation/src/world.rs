//! What all hosts share: time, the network between them, and what happened so far.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;

use crate::clock::Timers;
use crate::event_log::{Event, EventLog};
use crate::network::{Agenda, Backlog, Connection, ConnectionId, HostState, Paths, Place};

#[derive(Debug)]
pub(crate) struct World {
    /// Since the start.
    pub(crate) now: Duration,
    pub(crate) timers: Timers,
    pub(crate) agenda: Agenda,
    pub(crate) hosts: Vec<HostState>,
    pub(crate) paths: Paths,
    /// How many connections were opened.
    pub(crate) opened: u64,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) listeners: BTreeMap<Place, Backlog>,
    /// Host names and their addresses.
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    /// Addresses of load balancers, and who is behind them.
    pub(crate) balancers: BTreeMap<SocketAddr, Vec<SocketAddr>>,
    /// Decides jitter, how bytes are cut into segments, and whom a balancer chooses.
    pub(crate) rng: Rng,
    /// Makes what would be secrets.
    pub(crate) secrets: Rng,
    log: EventLog,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        // As of its own, so that more of one thing doesn't change the others.
        let rng = |purpose: u64| Rng::with_seed(seed.wrapping_add(purpose << 32));
        Self {
            now: Duration::ZERO,
            timers: Timers::default(),
            agenda: Agenda::default(),
            hosts: vec![HostState::nowhere()],
            paths: Paths::default(),
            opened: 0,
            connections: BTreeMap::new(),
            listeners: BTreeMap::new(),
            names: BTreeMap::new(),
            balancers: BTreeMap::new(),
            rng: rng(1),
            secrets: rng(2),
            log: EventLog::default(),
        }
    }

    pub(crate) fn log(&mut self, event: Event) {
        self.log.push(self.now, event);
    }

    pub(crate) fn event_log(&self) -> &EventLog {
        &self.log
    }

    /// Lets time pass until something happens; `false` if nothing ever will.
    pub(crate) fn advance(&mut self) -> bool {
        let next = [self.timers.earliest(), self.agenda.earliest()];
        let Some(next) = next.into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(event) = self.agenda.due(self.now) {
            self.happen(event);
        }
        self.timers.fire(self.now);
        true
    }
}
