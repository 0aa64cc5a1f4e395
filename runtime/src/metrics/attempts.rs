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

/// Attempts by result, each from the start, so that an alert can be written for any of them.
#[derive(Debug)]
pub(super) struct Attempts([IntCounter; 5]);

impl Attempts {
    pub(super) fn new(registry: &Registry) -> Self {
        let attempts = Families::ours(registry).counters(
            "connection_attempts_total",
            "Attempts to connect to a server, by what came of them.",
            &["result"],
        );
        Self(AttemptResult::ALL.map(|result| attempts.with_label_values(&[result.label()])))
    }

    pub(super) fn count(&self, result: AttemptResult) {
        self.0[result as usize].inc();
    }
}
