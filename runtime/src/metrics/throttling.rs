//! Dials over a limit.

use prometheus::{IntCounter, IntGauge, Registry};

use super::family::Families;

/// What became of a dial that was over a limit: the `result` label of `dialback_throttled_dials_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThrottleResult {
    /// It had to wait for its turn.
    Waited,
    /// It was refused, at once or after its wait.
    Refused,
}

impl ThrottleResult {
    const ALL: [Self; 2] = [Self::Waited, Self::Refused];

    const fn label(self) -> &'static str {
        match self {
            Self::Waited => "waited",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug)]
pub(super) struct Throttled {
    dials: [IntCounter; 2],
    waiting: IntGauge,
    reloads: [IntCounter; 2],
}

impl Throttled {
    pub(super) fn new(registry: &Registry) -> Self {
        let ours = Families::ours(registry);
        Self {
            dials: ours.counters_of(
                "throttled_dials_total",
                "Dials that were over a limit of the throttle file, by what became of them.",
                "result",
                ThrottleResult::ALL.map(ThrottleResult::label),
            ),
            reloads: ours.counters_of(
                "throttle_reloads_total",
                "Throttle files that changed, by whether they were taken up.",
                "result",
                ["refused", "success"],
            ),
            waiting: ours.gauge(
                "throttle_waiting_dials",
                "Dials that wait for their turn, since they are over a limit of the throttle file.",
            ),
        }
    }

    pub(super) fn count(&self, result: ThrottleResult) {
        self.dials[result as usize].inc();
    }

    pub(super) fn waiting(&self, dials: usize) {
        self.waiting.set(i64::try_from(dials).unwrap_or(i64::MAX));
    }

    pub(super) fn reloaded(&self, taken_up: bool) {
        self.reloads[usize::from(taken_up)].inc();
    }
}
