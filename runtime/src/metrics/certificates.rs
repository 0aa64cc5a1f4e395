//! Certificates: until when they are good, and whether renewed ones could be taken up.

use std::time::{Duration, SystemTime};

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::family::Families;

/// What a program that takes up renewed certificates shows of them.
///
/// The flags' names, which the series are told apart by, are few and the program's own.
#[derive(Clone, Debug)]
pub struct CertificateMetrics {
    expiry: IntGaugeVec,
    reloads: IntCounterVec,
    last_reload_successful: IntGaugeVec,
}

impl CertificateMetrics {
    /// In the registry of a program's other metrics; once for each.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let families = Families {
            registry,
            prefix: "dialback_",
        };
        Self {
            expiry: families.gauges(
                "certificate_expiry_timestamp_seconds",
                "When the certificates of a flag end, in seconds since 1970: the first of a chain, the last of the CAs.",
                &["flag"],
            ),
            reloads: families.counters(
                "certificate_reloads_total",
                "Certificates, keys and CAs that changed on disk, by the connections that use them and whether they were taken up.",
                &["source", "result"],
            ),
            last_reload_successful: families.gauges(
                "certificate_last_reload_successful",
                "1 when what is on disk is in use, 0 when it was refused and what was there before is.",
                &["source"],
            ),
        }
    }

    /// The certificates that this flag names end then.
    pub fn expire(&self, flag: &str, at: SystemTime) {
        let since = at.duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or(Duration::ZERO).as_secs();
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.expiry.with_label_values(&[flag]).set(seconds);
    }

    /// What these connections use was read when the program started.
    pub fn loaded(&self, source: &str) {
        self.last_reload_successful
            .with_label_values(&[source])
            .set(1);
    }

    /// It changed, and was taken up or refused.
    pub fn reloaded(&self, source: &str, taken_up: bool) {
        let result = if taken_up { "success" } else { "refused" };
        self.reloads.with_label_values(&[source, result]).inc();
        self.last_reload_successful
            .with_label_values(&[source])
            .set(i64::from(taken_up));
    }
}
