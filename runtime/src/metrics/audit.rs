//! Whether an audit log keeps up.

use prometheus::{IntCounter, IntGauge, Registry};

use super::family::Families;

/// What an audit log counts.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    written: IntCounter,
    dropped: IntCounter,
    bytes: IntCounter,
    waiting: IntGauge,
    failing: IntGauge,
    failures: IntCounter,
    rotations: IntCounter,
    reloads: [IntCounter; 2],
}

impl AuditMetrics {
    /// Registers the metrics; once for a registry.
    ///
    /// # Panics
    /// When they are registered already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let ours = Families::ours(registry);
        let [written, dropped] = ours.counters_of(
            "audit_records_total",
            "Records for the audit log, by whether they were written or dropped for want of room.",
            "result",
            ["written", "dropped"],
        );
        Self {
            written,
            dropped,
            bytes: ours.counter(
                "audit_bytes_total",
                "Bytes of lines that were written to the audit log.",
            ),
            waiting: ours.gauge(
                "audit_waiting_records",
                "Records that wait to be written to the audit log.",
            ),
            failing: ours.gauge(
                "audit_failing",
                "1 while the audit log can't be written, 0 otherwise.",
            ),
            failures: ours.counter(
                "audit_failures_total",
                "Attempts to write, rotate, compress or reopen the audit log that failed.",
            ),
            rotations: ours.counter(
                "audit_rotations_total",
                "Files of the audit log that were full and made way for the next.",
            ),
            reloads: ours.counters_of(
                "audit_policy_reloads_total",
                "Audit policy files that changed, by whether they were taken up.",
                "result",
                ["refused", "success"],
            ),
        }
    }

    /// So many records were written.
    pub fn written(&self, records: u64) {
        self.written.inc_by(records);
    }

    /// So many bytes of lines were written.
    pub fn wrote(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }

    /// So many records were dropped.
    pub fn dropped(&self, records: u64) {
        self.dropped.inc_by(records);
    }

    /// So many records wait.
    pub fn waiting(&self, records: usize) {
        self.waiting.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// Whether the log can be written.
    pub fn failing(&self, failing: bool) {
        self.failing.set(failing.into());
    }

    /// Something about the log did not work.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// So many files were full.
    pub fn rotated(&self, files: u64) {
        self.rotations.inc_by(files);
    }

    /// The audit policy file changed, and was taken up or refused.
    pub fn reloaded(&self, taken_up: bool) {
        self.reloads[usize::from(taken_up)].inc();
    }

    /// How many records were written and dropped since the start.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.written.get(), self.dropped.get())
    }
}
