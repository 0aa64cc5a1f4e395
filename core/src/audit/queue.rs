//! Records that wait to be written.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::event::Event;
use super::field::FieldSet;
use super::policy::AuditPolicy;

/// What happens when records can't be written as fast as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditMode {
    /// They are dropped and counted; a record says how many.
    #[default]
    BestEffort,
    /// Nothing begins that could not be recorded: dials are refused, and so are new agents. The records of what goes on are
    /// kept, however many these are.
    Strict,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It waits to be written.
    Taken,
    /// There was no room.
    Dropped,
    /// The policy has no use for it.
    Unwanted,
}

/// A record that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Queued {
    /// When it was offered.
    pub time: SystemTime,
    /// Its number, from 1.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
    /// What is left out.
    pub omitted: FieldSet,
}

/// Records in the order in which they were offered.
///
/// Every event that the policy wants gets a number, dropped ones included: a number that is missing was dropped, and the
/// record [`Event::Dropped`] behind the gap says how many are. Memory: at most `capacity` records; with
/// [`AuditMode::Strict`], two more for each stream and one for each agent that was let in.
#[derive(Debug)]
pub struct AuditQueue {
    mode: AuditMode,
    capacity: usize,
    policy: AuditPolicy,
    records: VecDeque<Queued>,
    next: u64,
    /// Dropped since that was last said.
    untold: u64,
    /// What was taken out could not be written.
    failing: bool,
}

impl AuditQueue {
    /// An empty queue for `capacity` records, 1 at least.
    #[must_use]
    pub fn new(mode: AuditMode, capacity: usize, policy: AuditPolicy) -> Self {
        Self {
            mode,
            capacity: capacity.max(1),
            policy,
            records: VecDeque::new(),
            next: 1,
            untold: 0,
            failing: false,
        }
    }

    /// What happens when it is full.
    #[must_use]
    pub const fn mode(&self) -> AuditMode {
        self.mode
    }

    /// Another policy for what comes from now on.
    pub fn set_policy(&mut self, policy: AuditPolicy) {
        self.policy = policy;
    }

    /// Whether something new may begin. Always with [`AuditMode::BestEffort`].
    #[must_use]
    pub fn admits(&self) -> bool {
        match self.mode {
            AuditMode::BestEffort => true,
            AuditMode::Strict => !self.failing && self.records.len() < self.capacity,
        }
    }

    /// Whether records could be written when that was last tried.
    pub fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    /// Takes an event, if the policy wants it and there is room. Texts of it that a peer has written are cut to
    /// 1,024 bytes.
    pub fn offer(&mut self, time: SystemTime, event: Event) -> Offered {
        let Some(omitted) = self.policy.omitted(&event) else {
            return Offered::Unwanted;
        };
        let is_owed =
            event.kind().is_of_audit() || self.mode == AuditMode::Strict && event.is_owed();
        if self.records.len() >= self.capacity && !is_owed {
            self.next += 1;
            self.untold += 1;
            return Offered::Dropped;
        }
        self.tell_dropped(time);
        self.push(time, event.bounded(), omitted);
        Offered::Taken
    }

    /// Takes out up to `most` records, the oldest first.
    pub fn take(&mut self, time: SystemTime, most: usize) -> Vec<Queued> {
        let count = self.records.len().min(most);
        let taken = self.records.drain(..count).collect();
        if self.records.len() < self.capacity {
            // Also where nothing comes for a long time.
            self.tell_dropped(time);
        }
        taken
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn tell_dropped(&mut self, time: SystemTime) {
        if self.untold > 0 {
            let records = std::mem::take(&mut self.untold);
            self.push(time, Event::Dropped { records }, FieldSet::EMPTY);
        }
    }

    fn push(&mut self, time: SystemTime, event: Event, omitted: FieldSet) {
        let sequence = self.next;
        self.next += 1;
        self.records.push_back(Queued {
            time,
            sequence,
            event,
            omitted,
        });
    }
}
