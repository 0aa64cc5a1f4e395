//! What each tenant has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dialback_core::throttle::Direction;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::family::Families;

/// What came of a tenant's dial that led to no stream: the label `result` of `dialback_tenant_dials_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantDial {
    /// The policy denied it.
    Denied,
    /// It was over a limit.
    Throttled,
    /// Anything else, the frontend's giving up included.
    Failed,
}

const OPENED: &str = "opened";

impl TenantDial {
    const ALL: [Self; 3] = [Self::Denied, Self::Throttled, Self::Failed];

    const fn label(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
        }
    }
}

/// Nothing of it is shown without tenants. They are those of the policy in force, and so no more than it names.
#[derive(Debug)]
pub(super) struct Tenants {
    shown: Mutex<BTreeMap<String, Arc<TenantMetrics>>>,
    dials: IntCounterVec,
    streams: IntGaugeVec,
    bytes: IntCounterVec,
}

/// What one tenant has.
#[derive(Debug)]
pub struct TenantMetrics {
    opened: IntCounter,
    dials: [IntCounter; 3],
    streams: IntGauge,
    bytes: [IntCounter; 2],
}

impl Tenants {
    pub(super) fn new(registry: &Registry) -> Self {
        let ours = Families::ours(registry);
        Self {
            shown: Mutex::default(),
            dials: ours.counters(
                "tenant_dials_total",
                "Dials of each tenant's frontends, by what came of them.",
                &["tenant", "result"],
            ),
            streams: ours.gauges(
                "tenant_streams",
                "Streams that each tenant's frontends have open.",
                &["tenant"],
            ),
            bytes: ours.counters(
                "tenant_bytes_total",
                "Payload of each tenant's streams, by where it went.",
                &["tenant", "direction"],
            ),
        }
    }

    pub(super) fn tenant(&self, name: &str) -> Arc<TenantMetrics> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = shown.get(name) {
            return Arc::clone(tenant);
        }
        let dials = |result| self.dials.with_label_values(&[name, result]);
        let tenant = Arc::new(TenantMetrics {
            opened: dials(OPENED),
            dials: TenantDial::ALL.map(|dial| dials(dial.label())),
            streams: self.streams.with_label_values(&[name]),
            bytes: Direction::ALL
                .map(|direction| self.bytes.with_label_values(&[name, towards(direction)])),
        });
        shown.insert(name.to_owned(), Arc::clone(&tenant));
        tenant
    }

    /// Tenants that are no more are shown no more.
    pub(super) fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|name, _| {
            let keep = is_kept(name);
            if !keep {
                let results = TenantDial::ALL.iter().map(|dial| dial.label());
                for result in results.chain([OPENED]) {
                    let _ = self.dials.remove_label_values(&[name, result]);
                }
                let _ = self.streams.remove_label_values(&[name]);
                for direction in Direction::ALL {
                    let _ = self.bytes.remove_label_values(&[name, towards(direction)]);
                }
            }
            keep
        });
    }
}

const fn towards(direction: Direction) -> &'static str {
    match direction {
        Direction::ToEndpoint => "to_endpoint",
        Direction::ToFrontend => "to_frontend",
    }
}

impl TenantMetrics {
    /// A stream of the tenant began.
    pub(crate) fn opened(&self) {
        self.opened.inc();
        self.streams.inc();
    }

    /// It has ended.
    pub(crate) fn closed(&self) {
        self.streams.dec();
    }

    /// A dial of the tenant led to none.
    pub(crate) fn dialled(&self, result: TenantDial) {
        self.dials[result as usize].inc();
    }

    /// So many bytes have passed.
    pub(crate) fn passed(&self, direction: Direction, bytes: u64) {
        self.bytes[direction as usize].inc_by(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::render;

    #[test]
    fn a_tenant_is_shown_for_as_long_as_the_policy_names_it() {
        let registry = Registry::new();
        let tenants = Tenants::new(&registry);
        let shown = || render::<&str>(&registry, &[]);
        assert!(!shown().contains("tenant"));
        let blue = tenants.tenant("blue");
        tenants.tenant("red").dialled(TenantDial::Denied);
        blue.opened();
        blue.passed(Direction::ToFrontend, 7);
        for line in [
            "dialback_tenant_streams{tenant=\"blue\"} 1",
            "dialback_tenant_dials_total{result=\"opened\",tenant=\"blue\"} 1",
            "dialback_tenant_dials_total{result=\"denied\",tenant=\"red\"} 1",
            "dialback_tenant_bytes_total{direction=\"to_frontend\",tenant=\"blue\"} 7",
        ] {
            assert!(shown().contains(line), "{line}\n{}", shown());
        }
        tenants.keep(|name| name == "red");
        assert!(!shown().contains("blue"));
        // A stream that goes on changes nothing that is shown.
        blue.closed();
        assert!(shown().contains("tenant=\"red\"") && !shown().contains("blue"));
    }
}
