//! What Dialback counts of tunnels and streams beyond the reference, at both ends.

use dialback_core::CloseReason;
use dialback_core::server::ResumeRefused;
use prometheus::{IntCounter, IntCounterVec, Registry};

use super::family::Families;

/// Ends of streams, and what became of tunnels whose transport was lost.
#[derive(Debug)]
pub(super) struct Tunnels {
    streams_closed: IntCounterVec,
    transports_lost: IntCounter,
    resumed: IntCounter,
}

impl Tunnels {
    pub(super) fn new(registry: &Registry) -> Self {
        let families = ours(registry);
        Self {
            streams_closed: families.counters(
                "streams_closed_total",
                "Streams that ended, by who ended them and why.",
                &["initiator", "reason"],
            ),
            transports_lost: families.counter(
                "tunnel_transports_lost_total",
                "Transports of tunnels that were lost while their streams wait for another.",
            ),
            resumed: families.counter(
                "tunnel_resumptions_total",
                "Tunnels that went on over another transport with all their streams.",
            ),
        }
    }

    pub(super) fn stream_closed(&self, reason: &CloseReason) {
        self.streams_closed
            .with_label_values(&[reason.initiator().name(), reason.label()])
            .inc();
    }

    pub(super) fn transport_lost(&self) {
        self.transports_lost.inc();
    }

    pub(super) fn resumed(&self) {
        self.resumed.inc();
    }
}

/// Offers to resume a session that a server refused, by reason.
#[derive(Debug)]
pub(super) struct ResumesRefused(IntCounterVec);

impl ResumesRefused {
    pub(super) fn new(registry: &Registry) -> Self {
        let refused = ours(registry).counters(
            "tunnel_resumptions_refused_total",
            "Offers to resume a session that were refused, by reason.",
            &["reason"],
        );
        // Each from the start, so that an alert can be written for any of them.
        for reason in ResumeRefused::ALL {
            refused.with_label_values(&[reason.label()]);
        }
        Self(refused)
    }

    pub(super) fn count(&self, reason: ResumeRefused) {
        self.0.with_label_values(&[reason.label()]).inc();
    }
}

fn ours(registry: &Registry) -> Families<'_> {
    Families {
        registry,
        prefix: "dialback_",
    }
}
