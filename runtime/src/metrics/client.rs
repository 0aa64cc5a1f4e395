//! Metrics of a frontend: those of Konnectivity's client library.

use dialback_core::PacketKind;
use dialback_core::client::DialFailure;
use dialback_core::wire::Code;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::family::Families;
use super::packets::{Packets, Segment};

const PREFIX: &str = "konnectivity_network_proxy_client_";

/// What the dials of a program count.
#[derive(Debug)]
pub struct ClientMetrics {
    registry: Registry,
    dial_failure_total: IntCounterVec,
    client_connections: IntGaugeVec,
    packets: Packets,
}

impl ClientMetrics {
    /// The metrics of a frontend, in a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = Families {
            registry: &registry,
            prefix: PREFIX,
        };
        Self {
            dial_failure_total: families.counters(
                "dial_failure_total",
                "Number of dial failures observed, by reason (example: remote endpoint error)",
                &["reason"],
            ),
            client_connections: families.gauges(
                "client_connections",
                "Number of open client connections, by status (Example: dialing)",
                &["status"],
            ),
            packets: Packets::new(&families),
            registry,
        }
    }

    /// The registry, to be rendered or gathered.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A dial failed.
    pub fn dial_failed(&self, reason: DialFailure) {
        self.dial_failure_total
            .with_label_values(&[reason.label()])
            .inc();
    }

    /// A connection is about to be dialled; what is returned follows it to its end.
    pub(crate) fn connection_created(&self) -> ClientConnectionGauge {
        let gauge = |status| self.client_connections.with_label_values(&[status]);
        let created = gauge("created");
        created.inc();
        ClientConnectionGauge {
            at: Phase::Created,
            gauges: [created, gauge("dialing"), gauge("ok")],
        }
    }

    /// A packet passed.
    pub(crate) fn packet(&self, segment: Segment, kind: PacketKind) {
        self.packets.packet(segment, kind);
    }

    /// A stream failed: while sending a packet of this kind, or while receiving (`None`).
    pub(crate) fn packet_failed(&self, segment: Segment, code: Code, kind: Option<PacketKind>) {
        self.packets.failed(segment, code, kind);
    }
}

impl Default for ClientMetrics {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Created,
    Dialing,
    Ok,
}

/// One connection in `client_connections`, under one status at a time until it is dropped.
#[derive(Debug)]
pub(crate) struct ClientConnectionGauge {
    at: Phase,
    gauges: [IntGauge; 3],
}

impl ClientConnectionGauge {
    pub(crate) fn dialing(&mut self) {
        self.move_to(Phase::Dialing);
    }

    pub(crate) fn ok(&mut self) {
        self.move_to(Phase::Ok);
    }

    pub(crate) fn is_dialing(&self) -> bool {
        self.at != Phase::Ok
    }

    fn move_to(&mut self, phase: Phase) {
        self.gauges[self.at as usize].dec();
        self.gauges[phase as usize].inc();
        self.at = phase;
    }
}

impl Drop for ClientConnectionGauge {
    fn drop(&mut self) {
        self.gauges[self.at as usize].dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::render;

    #[test]
    fn a_connection_counts_under_one_status_at_a_time() {
        let metrics = ClientMetrics::new();
        let name = format!("{PREFIX}client_connections");
        let shows = |line: &str| {
            let text = render(metrics.registry(), &[name.as_str()]);
            assert!(text.contains(&format!("{name}{line}\n")), "{line}\n{text}");
        };
        let mut connection = metrics.connection_created();
        shows("{status=\"created\"} 1");
        connection.dialing();
        shows("{status=\"created\"} 0");
        shows("{status=\"dialing\"} 1");
        connection.ok();
        shows("{status=\"dialing\"} 0");
        shows("{status=\"ok\"} 1");
        drop(connection);
        shows("{status=\"ok\"} 0");
    }

    #[test]
    fn failures_count_by_reason() {
        let metrics = ClientMetrics::new();
        metrics.dial_failed(DialFailure::Endpoint);
        metrics.dial_failed(DialFailure::Endpoint);
        let text = render::<&str>(metrics.registry(), &[]);
        assert!(text.contains("client_dial_failure_total{reason=\"endpoint\"} 2\n"));
    }

    /// As in Konnectivity, `konnectivity-client/pkg/client/metrics/metrics.go`.
    #[test]
    fn packets_and_their_failures_count_under_the_references_names() {
        let metrics = ClientMetrics::new();
        metrics.packet(Segment::FromClient, PacketKind::Data);
        metrics.packet_failed(
            Segment::FromClient,
            Code::Unavailable,
            Some(PacketKind::Data),
        );
        metrics.packet_failed(Segment::ToClient, Code::Canceled, None);
        let text = render::<&str>(metrics.registry(), &[]);
        for line in [
            "stream_packets_total{packet_type=\"DATA\",segment=\"from_client\"} 1",
            "stream_errors_total{code=\"Unavailable\",packet_type=\"DATA\",segment=\"from_client\"} 1",
            "stream_errors_total{code=\"Canceled\",packet_type=\"Unknown\",segment=\"to_client\"} 1",
        ] {
            assert!(
                text.contains(&format!("\n{PREFIX}{line}\n")),
                "{line}\n{text}"
            );
        }
    }
}
