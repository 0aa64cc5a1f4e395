//! What an operator limits.

use std::time::Duration;

use super::Dialling;
use crate::policy::Glob;

/// Limits, and how long those over them wait.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleConfig {
    /// How long a dial waits for its turn before it is refused; zero refuses at once. Default 5 s.
    pub max_wait: Duration,
    /// How many dials wait; further ones are refused. Default 1000.
    pub max_waiting: usize,
    /// The limits, all of which hold.
    pub limits: Vec<Limit>,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_secs(5),
            max_waiting: 1000,
            limits: Vec::new(),
        }
    }
}

/// One limit, for each thing of a kind on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What it is called in errors, logs and metrics; no two have the same.
    pub name: String,
    /// What it is counted for.
    pub per: LimitSubject,
    /// Only for things with such a name; `None` for all.
    pub matches: Option<Glob>,
    /// Dials per second.
    pub dials: Option<Rate>,
    /// Streams at a time, pending dials included.
    pub streams: Option<usize>,
    /// Payload bytes per second from frontends to endpoints.
    pub bytes_to_endpoints: Option<Rate>,
    /// Payload bytes per second from endpoints to frontends.
    pub bytes_to_frontends: Option<Rate>,
}

/// What a limit is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSubject {
    /// Everything together.
    Total,
    /// Each frontend, by the name of its identity.
    Frontend,
    /// Each tenant. Dials without a tenant are not limited by it.
    Tenant,
    /// Each agent, by its id. Where one has no room another is chosen.
    Agent,
    /// Each destination, by host or address.
    Destination,
}

/// So much a second, and so much at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// More than zero.
    pub per_second: f64,
    /// At least what is taken at a time: 1 for dials.
    pub burst: f64,
}

impl Limit {
    /// One that limits nothing yet, for everything of its kind.
    pub fn new(name: impl Into<String>, per: LimitSubject) -> Self {
        Self {
            name: name.into(),
            per,
            matches: None,
            dials: None,
            streams: None,
            bytes_to_endpoints: None,
            bytes_to_frontends: None,
        }
    }

    /// What it counts a dial for; `None` where it is not for this dial.
    pub(super) fn key<'a>(&self, dialling: &'a Dialling) -> Option<&'a str> {
        let key = match self.per {
            LimitSubject::Total => Some(""),
            LimitSubject::Frontend => Some(dialling.frontend.as_str()),
            LimitSubject::Tenant => dialling.tenant.as_deref(),
            LimitSubject::Destination => Some(dialling.destination.as_str()),
            LimitSubject::Agent => None,
        };
        key.filter(|key| self.is_for(key))
    }

    /// What it counts a dial for that is given to `agent`.
    pub(super) fn agent_key<'a>(&self, agent: &'a str) -> Option<&'a str> {
        (self.per == LimitSubject::Agent && self.is_for(agent)).then_some(agent)
    }

    fn is_for(&self, key: &str) -> bool {
        self.matches.as_ref().is_none_or(|glob| glob.matches(key))
    }

    /// What it limits, in words.
    pub(super) fn what(&self, dials: bool) -> String {
        let what = match (dials, self.dials, self.streams) {
            (true, Some(rate), _) => format!("{} dials per second", rate.per_second),
            (_, _, Some(streams)) => format!("{streams} streams"),
            (_, _, None) => "dials".to_owned(),
        };
        let whose = match self.per {
            LimitSubject::Total => "in total",
            LimitSubject::Frontend => "of each frontend",
            LimitSubject::Tenant => "of each tenant",
            LimitSubject::Destination => "to each destination",
            LimitSubject::Agent => "of each agent",
        };
        format!("limit {:?} of {what} {whose}", self.name)
    }
}
