//! What happened, and when.

use std::fmt;
use std::time::Duration;

use tracing::Level;

use crate::executor::TaskId;
use crate::network::{ConnectionId, HostId, Kind, Side};

/// Everything that happened in a simulation, in order: equal for two runs of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventLog {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    at: Duration,
    event: Event,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Spawned(TaskId, HostId),
    Polled(TaskId),
    Ended(TaskId),
    Aborted(TaskId),
    Connects(ConnectionId, HostId, HostId),
    Sends(ConnectionId, Side, Kind),
    Arrives(ConnectionId, Side, Kind),
    Reads(ConnectionId, Side, usize),
    TimesOut(ConnectionId, Side),
    /// Written to the log of a program.
    Said(Level, String),
    /// Done by the scenario.
    Noted(String),
}

impl EventLog {
    pub(crate) fn push(&mut self, at: Duration, event: Event) {
        self.entries.push(Entry { at, event });
    }

    /// How many events there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A number that logs of different events hardly share (FNV-1a of their text).
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut digest = 0xcbf2_9ce4_8422_2325;
        for entry in &self.entries {
            for byte in entry.to_string().bytes() {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        digest
    }

    /// The last `count` events, one a line.
    #[must_use]
    pub fn tail(&self, count: usize) -> String {
        let skipped = self.entries.len().saturating_sub(count);
        let lines = self.entries.iter().skip(skipped);
        lines.map(|entry| format!("{entry}\n")).collect()
    }

    /// What the programs and the scenario wrote, one a line.
    #[must_use]
    pub fn words(&self) -> String {
        let said = |entry: &&Entry| matches!(entry.event, Event::Said(..) | Event::Noted(_));
        let lines = self.entries.iter().filter(said);
        lines.map(|entry| format!("{entry}\n")).collect()
    }

    /// Where two logs part, as one line each; `None` if they are equal.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<(String, String)> {
        let line = |log: &Self, at: usize| match log.entries.get(at) {
            Some(entry) => entry.to_string(),
            None => "the end".to_owned(),
        };
        let longest = self.len().max(other.len());
        let at = (0..longest).find(|at| self.entries.get(*at) != other.entries.get(*at))?;
        Some((line(self, at), line(other, at)))
    }

    /// The first thing that a program called an error.
    #[must_use]
    pub fn first_error(&self) -> Option<String> {
        let is_error = |entry: &&Entry| matches!(entry.event, Event::Said(Level::ERROR, _));
        self.entries.iter().find(is_error).map(Entry::to_string)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>13.6} {}", self.at.as_secs_f64(), self.event)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawned(task, host) => write!(f, "{task} is spawned on {host}"),
            Self::Polled(task) => write!(f, "{task} is polled"),
            Self::Ended(task) => write!(f, "{task} ends"),
            Self::Aborted(task) => write!(f, "{task} is aborted"),
            Self::Connects(connection, from, to) => {
                write!(f, "{connection} is opened by {from} to {to}")
            }
            Self::Sends(connection, side, kind) => write!(f, "{connection} {side} sends {kind}"),
            Self::Arrives(connection, side, kind) => {
                write!(f, "{connection} {kind} of {side} arrives")
            }
            Self::Reads(connection, side, bytes) => {
                write!(f, "{connection} {side} reads {bytes} bytes")
            }
            Self::TimesOut(connection, side) => write!(f, "{connection} {side} gives up"),
            Self::Said(level, text) => write!(f, "{level} {text}"),
            Self::Noted(text) => write!(f, "# {text}"),
        }
    }
}
