//! Bounds that were met.

use prometheus::{IntCounter, Registry};

use super::family::Families;
use crate::status::LimitStatus;

/// A bound of the server that an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Frontend connections: further ones wait to be accepted.
    Frontends,
    /// Agent connections: further ones wait to be accepted.
    Agents,
    /// TLS handshakes of agents: further ones wait.
    AgentHandshakes,
    /// Bytes of an HTTP request's header: it is refused.
    HttpHeaderBytes,
    /// Streams on one agent's tunnel: a further dial fails.
    StreamsPerAgent,
    /// Dials that wait for one agent's answer: a further one fails.
    PendingDials,
}

impl Limit {
    const ALL: [Self; 6] = [
        Self::Frontends,
        Self::Agents,
        Self::AgentHandshakes,
        Self::HttpHeaderBytes,
        Self::StreamsPerAgent,
        Self::PendingDials,
    ];

    /// The label value: the flag, with underscores.
    const fn label(self) -> &'static str {
        match self {
            Self::Frontends => "max_frontends",
            Self::Agents => "max_agents",
            Self::AgentHandshakes => "max_agent_handshakes",
            Self::HttpHeaderBytes => "max_http_header_bytes",
            Self::StreamsPerAgent => "max_streams_per_agent",
            Self::PendingDials => "max_pending_dials",
        }
    }
}

/// How often each was met.
#[derive(Debug)]
pub(super) struct LimitsReached([IntCounter; 6]);

impl LimitsReached {
    pub(super) fn new(registry: &Registry) -> Self {
        Self(Families::ours(registry).counters_of(
            "limit_reached_total",
            "How often a bound was met, by its flag. Connections then wait, dials fail.",
            "limit",
            Limit::ALL.map(Limit::label),
        ))
    }

    pub(super) fn status(&self) -> Vec<LimitStatus> {
        let counted = Limit::ALL.iter().zip(&self.0);
        counted
            .map(|(limit, reached)| LimitStatus {
                name: limit.label().to_owned(),
                reached: reached.get(),
            })
            .collect()
    }

    pub(super) fn count(&self, limit: Limit) {
        self.0[limit as usize].inc();
    }
}
