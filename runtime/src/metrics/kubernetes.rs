//! What is asked of a Kubernetes API server, under the reference's names and beside them.

use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec};

use super::family::Families;

/// Prometheus' default buckets, in seconds.
const DEFAULT: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Requests of one kind: how many, and how long they took.
#[derive(Debug)]
struct Calls {
    total: IntCounterVec,
    latency: HistogramVec,
}

impl Calls {
    fn count(&self, code: u16, reason: &str, took: Duration) {
        let code = code.to_string();
        self.total.with_label_values(&[&*code, reason]).inc();
        self.latency
            .with_label_values(&[&*code])
            .observe(took.as_secs_f64());
    }
}

/// The server's collection of expired Leases.
#[derive(Debug)]
pub(super) struct LeaseCollection {
    lists: Calls,
    deletes: Calls,
    culled: IntCounter,
}

impl LeaseCollection {
    pub(super) fn new(families: &Families<'_>) -> Self {
        const CODE: &str = "http_status_code";
        Self {
            lists: Calls {
                total: families.counters(
                    "lease_list_total",
                    "Lists of Leases in search of expired ones, by the answer's status and reason.",
                    &[CODE, "reason"],
                ),
                latency: families.histograms(
                    "lease_list_latency_seconds",
                    "Time that a list of Leases took, in seconds.",
                    &[CODE],
                    &DEFAULT,
                ),
            },
            deletes: Calls {
                total: families.counters(
                    "lease_delete_total",
                    "Deletions of expired Leases, by the answer's status and reason.",
                    &[CODE, "reason"],
                ),
                latency: families.histograms(
                    "lease_delete_latency_seconds",
                    "Time that the deletion of a Lease took, in seconds.",
                    &[CODE],
                    &DEFAULT,
                ),
            },
            culled: families.counter(
                "culled_leases_count",
                "Expired Leases that this server deleted.",
            ),
        }
    }

    pub(super) fn listed(&self, code: u16, reason: &str, took: Duration) {
        self.lists.count(code, reason, took);
    }

    pub(super) fn deleted(&self, code: u16, reason: &str, took: Duration) {
        self.deletes.count(code, reason, took);
    }

    pub(super) fn culled(&self) {
        self.culled.inc();
    }
}

/// The server's own Lease; ours, as the reference counts nothing of it.
#[derive(Debug)]
pub(super) struct LeasePublication {
    renewed: IntCounter,
    failed: IntCounter,
}

impl LeasePublication {
    pub(super) fn new(ours: &Families<'_>) -> Self {
        let [renewed, failed] = ours.counters_of(
            "lease_renewals_total",
            "Tries to acquire or renew the server's Lease, by what came of it.",
            "result",
            ["renewed", "failed"],
        );
        Self { renewed, failed }
    }

    pub(super) fn tried(&self, renewed: bool) {
        if renewed {
            self.renewed.inc();
        } else {
            self.failed.inc();
        }
    }
}

/// The agent's counting of servers by their Leases.
#[derive(Debug)]
pub(super) struct LeaseWatch {
    lists: Calls,
    watches: IntCounterVec,
}

impl LeaseWatch {
    /// `buckets` are upper bounds in seconds.
    pub(super) fn new(families: &Families<'_>, buckets: &[f64]) -> Self {
        const CODE: &str = "http_response_code";
        Self {
            lists: Calls {
                total: families.counters(
                    "lease_lists_total",
                    "Lists of servers' Leases, by the answer's status and reason.",
                    &[CODE, "reason"],
                ),
                latency: families.histograms(
                    "lease_list_latency_seconds",
                    "Time that a list of Leases took, in seconds.",
                    &[CODE],
                    buckets,
                ),
            },
            // The reference registers it and counts watches as lists.
            watches: families.counters(
                "lease_watches_total",
                "Watches of servers' Leases, by the answer's status and reason.",
                &[CODE, "reason"],
            ),
        }
    }

    pub(super) fn listed(&self, code: u16, reason: &str, took: Duration) {
        self.lists.count(code, reason, took);
    }

    pub(super) fn watched(&self, code: u16, reason: &str) {
        self.watches
            .with_label_values(&[&*code.to_string(), reason])
            .inc();
    }
}

/// Answers about agents' tokens, by what they were; ours.
#[derive(Debug)]
pub(super) struct TokenReviews {
    latency: HistogramVec,
}

impl TokenReviews {
    pub(super) fn new(ours: &Families<'_>) -> Self {
        let latency = ours.histograms(
            "token_review_duration_seconds",
            "Time that it took to have an agent's token looked at, in seconds, by what came of it.",
            &["result"],
            &DEFAULT,
        );
        Self { latency }
    }

    pub(super) fn reviewed(&self, result: &str, took: Duration) {
        self.latency
            .with_label_values(&[result])
            .observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::metrics::render;

    fn text(touch: impl FnOnce(&Families<'_>)) -> String {
        let registry = Registry::new();
        touch(&Families {
            registry: &registry,
            prefix: "x_",
        });
        render::<&str>(&registry, &[])
    }

    /// The names that Konnectivity's server gives to them (`pkg/server/metrics/metrics.go`).
    #[test]
    fn a_collection_has_the_references_families() {
        let text = text(|families| {
            let collection = LeaseCollection::new(families);
            collection.listed(403, "Forbidden", Duration::from_secs(7));
            collection.deleted(404, "NotFound", Duration::from_millis(7));
            collection.culled();
        });
        for line in [
            "# TYPE x_lease_list_total counter\n",
            "x_lease_list_total{http_status_code=\"403\",reason=\"Forbidden\"} 1\n",
            "x_lease_list_latency_seconds_bucket{http_status_code=\"403\",le=\"5\"} 0\n",
            "x_lease_list_latency_seconds_bucket{http_status_code=\"403\",le=\"10\"} 1\n",
            "x_lease_delete_total{http_status_code=\"404\",reason=\"NotFound\"} 1\n",
            "x_lease_delete_latency_seconds_bucket{http_status_code=\"404\",le=\"0.005\"} 0\n",
            "x_lease_delete_latency_seconds_bucket{http_status_code=\"404\",le=\"0.01\"} 1\n",
            "# TYPE x_culled_leases_count counter\nx_culled_leases_count 1\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    /// The agent's have another label (`pkg/agent/metrics/metrics.go`).
    #[test]
    fn a_watch_has_the_references_families() {
        let text = text(|families| {
            let watch = LeaseWatch::new(families, &[1.0, 30.0]);
            watch.listed(200, "", Duration::from_secs(2));
            watch.watched(410, "Expired");
        });
        for line in [
            "x_lease_lists_total{http_response_code=\"200\",reason=\"\"} 1\n",
            "x_lease_list_latency_seconds_bucket{http_response_code=\"200\",le=\"1\"} 0\n",
            "x_lease_list_latency_seconds_bucket{http_response_code=\"200\",le=\"30\"} 1\n",
            "x_lease_watches_total{http_response_code=\"410\",reason=\"Expired\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
