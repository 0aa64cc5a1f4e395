//! Metrics of the proxy agent.

use std::time::Duration;

use dialback_core::wire::Code;
use dialback_core::{CloseReason, Packet, PacketKind};
use prometheus::{Histogram, IntCounterVec, IntGauge, Registry};

use super::attempts::{AttemptResult, Attempts};
use super::family::{Families, OnTouch, sum};
use super::kubernetes::LeaseWatch;
use super::live_tunnels::Measured;
use super::packets::{Packets, Segment};
use super::tunnels::Tunnels;
use crate::status::Totals;

const PREFIX: &str = "konnectivity_network_proxy_agent_";

/// Buckets of dials, in seconds.
const LATENCY: [f64; 7] = [0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

/// What a proxy agent counts and measures.
///
/// `open_server_connections` and its like are there with 0 from the start, unlike in the reference: its own
/// tests read them as soon as the agent is healthy.
#[derive(Debug)]
pub struct AgentMetrics {
    registry: Registry,
    dial_duration: OnTouch<Histogram>,
    server_connection_failure_count: IntCounterVec,
    endpoint_dial_failure_total: IntCounterVec,
    open_server_connections: IntGauge,
    known_server_count: IntGauge,
    open_endpoint_connections: IntGauge,
    attempts: Attempts,
    leases: LeaseWatch,
    packets: Packets,
    tunnels: Tunnels,
}

impl AgentMetrics {
    /// The metrics of an agent, in a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = Families {
            registry: &registry,
            prefix: PREFIX,
        };
        families.build_info();
        Self {
            dial_duration: families.histogram_on_touch(
                "dial_duration_seconds",
                "Time that a successful dial of an endpoint took, in seconds.",
                &LATENCY,
            ),
            server_connection_failure_count: families.counters(
                "server_connection_failure_count",
                "Connections to servers that failed, by direction. Deprecated, use stream_errors_total.",
                &["direction"],
            ),
            // The reference's tests compare this family and that of open endpoints as text, this line included.
            endpoint_dial_failure_total: families.counters(
                "endpoint_dial_failure_total",
                "Number of failures dialing the remote endpoint, by reason (example: timeout).",
                &["reason"],
            ),
            open_server_connections: families.gauge(
                "open_server_connections",
                "Servers that the agent is connected to.",
            ),
            known_server_count: families.gauge(
                "known_server_count",
                "Servers that the agent means to be connected to.",
            ),
            open_endpoint_connections: families.gauge(
                "open_endpoint_connections",
                "Current number of open endpoint connections.",
            ),
            attempts: Attempts::new(&registry),
            leases: LeaseWatch::new(&families, &LATENCY),
            packets: Packets::new(&families),
            tunnels: Tunnels::new(&registry),
            registry,
        }
    }

    /// The registry, to be rendered and to register more in.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// An attempt to connect to a server is over.
    pub fn attempted(&self, result: AttemptResult) {
        self.attempts.count(result);
    }

    /// An endpoint was dialled with success.
    pub fn endpoint_dialled(&self, took: Duration) {
        self.dial_duration.touch().observe(took.as_secs_f64());
    }

    /// An endpoint could not be dialled.
    pub fn endpoint_dial_failed(&self, timeout: bool) {
        let reason = if timeout { "timeout" } else { "unknown" };
        self.endpoint_dial_failure_total
            .with_label_values(&[reason])
            .inc();
    }

    /// A connection to an endpoint is open.
    pub fn endpoint_opened(&self) {
        self.tunnels.stream_opened();
        self.open_endpoint_connections.inc();
    }

    /// A connection to an endpoint that was open is closed.
    pub fn endpoint_closed(&self, reason: &CloseReason) {
        self.open_endpoint_connections.dec();
        self.tunnels.stream_closed(reason);
    }

    /// The transport of a tunnel was lost, and its streams wait for another.
    pub fn transport_lost(&self) {
        self.tunnels.transport_lost();
    }

    /// A tunnel goes on over another transport.
    pub fn resumed(&self) {
        self.tunnels.resumed();
    }

    /// What was counted, for a snapshot; what is now is not in it.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            dials_failed: sum(&self.endpoint_dial_failure_total),
            ..self.tunnels.totals()
        }
    }

    /// How many servers the agent is connected to.
    pub fn open_servers(&self, count: usize) {
        self.open_server_connections
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How many servers it means to be connected to.
    pub fn known_servers(&self, count: u64) {
        self.known_server_count
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Servers' Leases were listed; HTTP status and Kubernetes' reason of the answer.
    pub fn leases_listed(&self, code: u16, reason: &str, took: Duration) {
        self.leases.listed(code, reason, took);
    }

    /// A watch of servers' Leases began; HTTP status and Kubernetes' reason of the answer.
    pub fn leases_watched(&self, code: u16, reason: &str) {
        self.leases.watched(code, reason);
    }

    /// The stream of a server broke while it was read.
    pub fn server_connection_failed(&self) {
        self.server_connection_failure_count
            .with_label_values(&["from_server"])
            .inc();
    }

    /// A packet passed.
    pub fn packet(&self, segment: Segment, kind: PacketKind) {
        self.packets.packet(segment, kind);
    }

    /// A packet of a tunnel passed: as [`Self::packet`], and its bytes.
    pub fn tunnel_packet(&self, segment: Segment, packet: &Packet) {
        self.packets.packet(segment, packet.kind());
        self.tunnels.packet(segment, packet);
    }

    /// A tunnel began; it is shown for as long as it lasts.
    pub(crate) fn tunnel_began(&self, tunnel: impl Measured + 'static) {
        self.tunnels.began(tunnel);
    }

    /// A stream failed: while sending a packet of this kind, or while receiving (`None`).
    pub fn packet_failed(&self, segment: Segment, code: Code, kind: Option<PacketKind>) {
        self.packets.failed(segment, code, kind);
    }
}

impl Default for AgentMetrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::render;

    fn family(metrics: &AgentMetrics, name: &str) -> String {
        render(metrics.registry(), &[&format!("{PREFIX}{name}")])
    }

    #[test]
    fn gauges_that_tests_and_dashboards_wait_for_are_there_from_the_start() {
        let metrics = AgentMetrics::new();
        for name in [
            "open_server_connections",
            "known_server_count",
            "open_endpoint_connections",
        ] {
            let text = family(&metrics, name);
            assert!(text.ends_with(&format!("{PREFIX}{name} 0\n")), "{text}");
        }
        for name in ["endpoint_dial_failure_total", "dial_duration_seconds"] {
            assert_eq!(family(&metrics, name), "");
        }
    }

    #[test]
    fn families_that_the_references_tests_compare_are_the_same_to_the_byte() {
        let metrics = AgentMetrics::new();
        metrics.endpoint_dial_failed(true);
        metrics.endpoint_opened();
        metrics.endpoint_closed(&CloseReason::EndpointClosed);
        assert_eq!(
            family(&metrics, "endpoint_dial_failure_total"),
            "# HELP konnectivity_network_proxy_agent_endpoint_dial_failure_total \
             Number of failures dialing the remote endpoint, by reason (example: timeout).\n\
             # TYPE konnectivity_network_proxy_agent_endpoint_dial_failure_total counter\n\
             konnectivity_network_proxy_agent_endpoint_dial_failure_total{reason=\"timeout\"} 1\n"
        );
        assert_eq!(
            family(&metrics, "open_endpoint_connections"),
            "# HELP konnectivity_network_proxy_agent_open_endpoint_connections \
             Current number of open endpoint connections.\n\
             # TYPE konnectivity_network_proxy_agent_open_endpoint_connections gauge\n\
             konnectivity_network_proxy_agent_open_endpoint_connections 0\n"
        );
    }

    #[test]
    fn what_is_told_is_shown() {
        let metrics = AgentMetrics::new();
        metrics.known_servers(3);
        metrics.open_servers(2);
        metrics.server_connection_failed();
        metrics.endpoint_dialled(Duration::from_millis(10));
        metrics.packet(Segment::ToAgent, PacketKind::DialRequest);
        let text = render::<&str>(metrics.registry(), &[]);
        for line in [
            "known_server_count 3",
            "open_server_connections 2",
            "server_connection_failure_count{direction=\"from_server\"} 1",
            "dial_duration_seconds_bucket{le=\"0.025\"} 1",
            "dial_duration_seconds_bucket{le=\"30\"} 1",
            "stream_packets_total{packet_type=\"DIAL_REQ\",segment=\"to_agent\"} 1",
        ] {
            assert!(
                text.contains(&format!("\n{PREFIX}{line}\n")),
                "{line}\n{text}"
            );
        }
        assert!(text.contains("\ndialback_build_info{version=\""));
    }
}
