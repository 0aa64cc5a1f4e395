//! Dials that are given to more than one agent.

use prometheus::{IntCounter, IntGauge, Registry};

use super::family::Families;

/// What came of giving a dial to another agent: the `result` label of `dialback_dial_hedges_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeEnd {
    /// The other agent connected first.
    Won,
    /// The first one did, or nobody wanted the dial any more.
    Lost,
    /// The other agent could not connect either.
    Failed,
    /// There was none: too many dials were given to a second agent already.
    NotSpared,
}

impl HedgeEnd {
    const ALL: [Self; 4] = [Self::Won, Self::Lost, Self::Failed, Self::NotSpared];

    const fn label(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::NotSpared => "not_spared",
        }
    }
}

#[derive(Debug)]
pub(super) struct Hedges {
    started: IntCounter,
    ended: [IntCounter; 4],
    set_aside: IntGauge,
}

impl Hedges {
    pub(super) fn new(registry: &Registry) -> Self {
        let ours = Families::ours(registry);
        Self {
            started: ours.counter(
                "dial_retries_total",
                "Dials that were given to another agent, since the first did not answer in time or was lost.",
            ),
            ended: ours.counters_of(
                "dial_hedges_total",
                "Dials that were to be given to another agent as well, by what came of it.",
                "result",
                HedgeEnd::ALL.map(HedgeEnd::label),
            ),
            set_aside: ours.gauge(
                "agents_set_aside",
                "Agents that get no dials for a while, since others had to answer theirs.",
            ),
        }
    }

    pub(super) fn started(&self) {
        self.started.inc();
    }

    pub(super) fn ended(&self, end: HedgeEnd) {
        self.ended[end as usize].inc();
    }

    pub(super) fn set_aside(&self, agents: usize) {
        self.set_aside
            .set(i64::try_from(agents).unwrap_or(i64::MAX));
    }
}
