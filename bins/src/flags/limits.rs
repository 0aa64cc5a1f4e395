//! The bounds of a server that an operator may set; all ours.

use std::time::Duration;

use super::command_line::CommandLine;
use super::problem::{Check, OptionProblem};
use super::server::ServerFlags;
use super::set::Flag;
use super::value::GoDuration;

/// The flags, as given.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the flag of its name")]
pub struct LimitFlags {
    pub max_frontends: i64,
    pub max_agents: i64,
    pub max_streams_per_agent: i64,
    pub max_pending_dials: i64,
    pub handshake_timeout: GoDuration,
}

/// How much a server takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOptions {
    /// Frontend connections at a time: `--max-frontends`, default 20,000; further ones wait to be accepted.
    pub max_frontends: usize,
    /// Agent connections at a time: `--max-agents`, default 20,000; further ones wait to be accepted.
    pub max_agents: usize,
    /// Streams on one agent's tunnel: `--max-streams-per-agent`, default 16,384; a further dial fails.
    pub max_streams_per_agent: usize,
    /// Dials that wait for one agent's answer: `--max-pending-dials`, default 16,384; a further one fails.
    pub max_pending_dials: usize,
    /// How long a peer may take for TLS and the start of HTTP/2: `--handshake-timeout`, default 2 min.
    pub handshake_timeout: Duration,
}

/// A line for each field of [`LimitFlags`].
pub(super) fn limit_flags() -> [Flag<CommandLine<ServerFlags>>; 5] {
    [
        Flag::new(
            "max-frontends",
            "20000",
            "How many connections of frontends are served at a time; further ones wait to be accepted.",
            |c: &mut CommandLine<ServerFlags>| &mut c.daemon.limits.max_frontends,
        ),
        Flag::new(
            "max-agents",
            "20000",
            "How many connections of agents are served at a time; further ones wait to be accepted.",
            |c| &mut c.daemon.limits.max_agents,
        ),
        Flag::new(
            "max-streams-per-agent",
            "16384",
            "How many connections one agent's tunnel carries at a time; further dials fail.",
            |c| &mut c.daemon.limits.max_streams_per_agent,
        ),
        Flag::new(
            "max-pending-dials",
            "16384",
            "How many dials wait for one agent's answer at a time; further ones fail.",
            |c| &mut c.daemon.limits.max_pending_dials,
        ),
        Flag::new(
            "handshake-timeout",
            "2m0s",
            "How long a frontend or an agent may take for its TLS handshake and the start of HTTP/2.",
            |c| &mut c.daemon.limits.handshake_timeout,
        ),
    ]
}

impl LimitFlags {
    pub(super) fn validate(&self, check: &mut Check) -> LimitOptions {
        let mut count = |flag, value: i64| {
            let count = usize::try_from(value).ok().filter(|count| *count > 0);
            check.refuse_if(count.is_none(), || OptionProblem::TooFew { flag, value });
            count.unwrap_or(1)
        };
        let limits = LimitOptions {
            max_frontends: count("max-frontends", self.max_frontends),
            max_agents: count("max-agents", self.max_agents),
            max_streams_per_agent: count("max-streams-per-agent", self.max_streams_per_agent),
            max_pending_dials: count("max-pending-dials", self.max_pending_dials),
            handshake_timeout: self.handshake_timeout.positive().unwrap_or_default(),
        };
        check.refuse_if(limits.handshake_timeout.is_zero(), || {
            OptionProblem::NoTime {
                flag: "handshake-timeout",
                value: self.handshake_timeout,
            }
        });
        limits
    }
}
