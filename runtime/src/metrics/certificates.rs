//! Certificates: until when they are good, and whether renewed ones could be taken up.

use std::time::{Duration, SystemTime};

use prometheus::core::Collector as _;
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
        let families = Families::ours(registry);
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
        self.expiry.with_label_values(&[flag]).set(seconds(at));
    }

    /// What is wrong with certificates at this time, in sentences: those that have ended, and new ones that were refused.
    #[must_use]
    pub fn complaints(&self, now: SystemTime) -> Vec<String> {
        let now = seconds(now);
        let ended = series(&self.expiry)
            .into_iter()
            .filter(|(_, end)| *end < now)
            .map(|(flag, end)| {
                let days = (now - end) / (24 * 60 * 60);
                format!("certificate of --{flag} ended {days} days ago")
            });
        let refused = series(&self.last_reload_successful)
            .into_iter()
            .filter(|(_, successful)| *successful == 0)
            .map(|(source, _)| {
                format!("changed certificates of {source} were refused, the old ones are in use")
            });
        ended.chain(refused).collect()
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

/// Since 1970; what was before is 1970.
fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or(Duration::ZERO).as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The one label and the value of each series, in the labels' order.
fn series(family: &IntGaugeVec) -> Vec<(String, i64)> {
    let mut series: Vec<_> = family
        .collect()
        .iter()
        .flat_map(|family| family.get_metric())
        .filter_map(|metric| {
            let label = metric.get_label().first()?.value().to_owned();
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the gauges hold whole numbers"
            )]
            let value = metric.get_gauge().get_value() as i64;
            Some((label, value))
        })
        .collect();
    series.sort();
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_ended_and_those_refused_are_complained_of() {
        let day = Duration::from_secs(24 * 60 * 60);
        let now = SystemTime::UNIX_EPOCH + 20_000 * day;
        let metrics = CertificateMetrics::new(&Registry::new());
        metrics.expire("cluster-cert", now);
        metrics.expire("server-cert", now - 3 * day);
        metrics.loaded("agents");
        assert_eq!(
            metrics.complaints(now),
            ["certificate of --server-cert ended 3 days ago"]
        );
        metrics.expire("server-cert", now + day);
        assert!(metrics.complaints(now).is_empty());

        metrics.reloaded("agents", false);
        assert_eq!(
            metrics.complaints(now),
            ["changed certificates of agents were refused, the old ones are in use"]
        );
        metrics.reloaded("agents", true);
        assert!(metrics.complaints(now).is_empty());
    }
}
