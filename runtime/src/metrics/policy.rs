//! What a policy decided, and whether the newest one is in force.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::family::{Families, OnTouch};

/// What came of a dial's judgement: the label `action` of `dialback_policy_decisions_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDecision {
    /// It was allowed.
    Allow,
    /// It was denied.
    Deny,
    /// It would have been denied if the policy were enforced.
    AuditDeny,
}

impl PolicyDecision {
    const ALL: [Self; 3] = [Self::Allow, Self::Deny, Self::AuditDeny];

    const fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::AuditDeny => "audit_deny",
        }
    }
}

/// Nothing of it is shown where there is no policy.
#[derive(Debug)]
pub(super) struct PolicyCounts {
    decisions: IntCounterVec,
    generation: OnTouch<IntGauge>,
    reloads: IntCounterVec,
    last_reload_successful: OnTouch<IntGauge>,
    streams_cut: OnTouch<IntCounter>,
    agents_refused: OnTouch<IntCounter>,
    claims_dropped: OnTouch<IntCounter>,
}

impl PolicyCounts {
    pub(super) fn new(registry: &Registry) -> Self {
        let families = Families::ours(registry);
        Self {
            decisions: families.counters(
                "policy_decisions_total",
                "Dials that the policy judged, by what came of it.",
                &["action"],
            ),
            generation: families.gauge_on_touch(
                "policy_generation",
                "How many policies have been put in force since the start.",
            ),
            reloads: families.counters(
                "policy_reloads_total",
                "Policy files that changed, by whether they were taken up.",
                &["result"],
            ),
            last_reload_successful: families.gauge_on_touch(
                "policy_last_reload_successful",
                "1 when the policy on disk is in force, 0 when it was refused and the one before is.",
            ),
            streams_cut: families.counter_on_touch(
                "policy_streams_cut_total",
                "Streams that were cut because a changed policy denies them.",
            ),
            agents_refused: families.counter_on_touch(
                "policy_agents_refused_total",
                "Calls of agents that claimed what the policy refuses, in mode audit too.",
            ),
            claims_dropped: families.counter_on_touch(
                "policy_claims_dropped_total",
                "Identifiers that agents claimed and the policy does not allow, in mode audit too.",
            ),
        }
    }

    pub(super) fn decided(&self, decision: PolicyDecision) {
        self.decisions.with_label_values(&[decision.label()]).inc();
    }

    /// Everything is shown from the first policy on, so that an alert can be written for any of it.
    pub(super) fn in_force(&self) {
        for decision in PolicyDecision::ALL {
            self.decisions.with_label_values(&[decision.label()]);
        }
        self.generation.touch().inc();
        self.last_reload_successful.touch().set(1);
        self.streams_cut.touch();
        self.agents_refused.touch();
        self.claims_dropped.touch();
    }

    /// How many policies there have been; `None` without any.
    pub(super) fn generation(&self) -> Option<u64> {
        u64::try_from(self.generation.get()?.get()).ok()
    }

    pub(super) fn reloaded(&self, taken_up: bool) {
        let result = if taken_up { "success" } else { "refused" };
        self.reloads.with_label_values(&[result]).inc();
        self.last_reload_successful.touch().set(taken_up.into());
    }

    pub(super) fn cut_stream(&self) {
        self.streams_cut.touch().inc();
    }

    pub(super) fn refused_agent(&self) {
        self.agents_refused.touch().inc();
    }

    pub(super) fn dropped_claims(&self, claims: usize) {
        self.claims_dropped.touch().inc_by(claims as u64);
    }
}
