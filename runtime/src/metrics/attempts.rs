//! What came of an agent's attempts to connect.

use prometheus::{IntCounter, Registry};

use super::family::Families;

/// What came of an attempt to connect to a server: the `result` label of `dialback_connection_attempts_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// A new tunnel.
    Connected,
    /// Another transport for a tunnel whose own was lost.
    Resumed,
    /// A server that the agent is connected to already, or a tunnel that it does not need any more.
    NotNeeded,
    /// An error, which the log tells.
    Failed,
    /// No answer in time.
    TimedOut,
}

impl AttemptResult {
    const ALL: [Self; 5] = [
        Self::Connected,
        Self::Resumed,
        Self::NotNeeded,
        Self::Failed,
        Self::TimedOut,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Resumed => "resumed",
            Self::NotNeeded => "not_needed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Attempts by result.
#[derive(Debug)]
pub(super) struct Attempts([IntCounter; 5]);

impl Attempts {
    pub(super) fn new(registry: &Registry) -> Self {
        Self(Families::ours(registry).counters_of(
            "connection_attempts_total",
            "Attempts to connect to a server, by what came of them.",
            "result",
            AttemptResult::ALL.map(AttemptResult::label),
        ))
    }

    pub(super) fn count(&self, result: AttemptResult) {
        self.0[result as usize].inc();
    }
}
