//! Metrics of the proxy server.

use std::sync::Arc;
use std::time::Duration;

use dialback_core::server::{DialFailure, ResumeRefused};
use dialback_core::wire::Code;
use dialback_core::{CloseReason, Packet, PacketKind};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::family::{Counted, Families, OnTouch, sum};
use super::hedges::{HedgeEnd, Hedges};
use super::kubernetes::{LeaseCollection, LeasePublication, TokenReviews};
use super::limits::{Limit, LimitsReached};
use super::live_tunnels::Measured;
use super::packets::{Packets, Segment};
use super::policy::{PolicyCounts, PolicyDecision};
use super::tenants::{TenantMetrics, Tenants};
use super::throttling::{ThrottleResult, Throttled};
use super::tunnels::{ResumesRefused, Tunnels};
use crate::server::AgentRefused;
use crate::status::{LimitStatus, Totals};
use crate::tls::HandshakeFailure;

const PREFIX: &str = "konnectivity_network_proxy_server_";

/// Buckets of dials and writes, in seconds.
const LATENCY: [f64; 9] = [1e-6, 1e-5, 1e-4, 0.005, 0.025, 0.1, 0.5, 2.5, 12.5];
/// Buckets of whole connections, in seconds: from one to a day.
const LIFETIME: [f64; 12] = [
    1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 43200.0, 86400.0,
];

/// A TLS listener of the server: the `listener` label of `dialback_tls_handshake_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsListener {
    /// Where agents connect.
    Agent,
    /// Where frontends connect over TCP.
    Frontend,
}

/// How an agent proved who it is: the `authentication` label of `dialback_agent_calls_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentProof {
    /// Not at all: neither was asked for.
    Nothing,
    /// By its certificate.
    Certificate,
    /// By its token.
    Token,
    /// By both.
    CertificateAndToken,
}

impl AgentProof {
    /// Every proof.
    pub const ALL: [Self; 4] = [
        Self::Nothing,
        Self::Certificate,
        Self::Token,
        Self::CertificateAndToken,
    ];

    /// The label value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Certificate => "certificate",
            Self::Token => "token",
            Self::CertificateAndToken => "certificate_and_token",
        }
    }
}

/// What a proxy server counts and measures.
#[derive(Debug)]
pub struct ServerMetrics {
    registry: Registry,
    dial_duration: OnTouch<Histogram>,
    frontend_write_duration: OnTouch<Histogram>,
    connection_duration: OnTouch<Histogram>,
    grpc_connections: IntGaugeVec,
    http_connections: IntGauge,
    ready_backend_connections: IntGauge,
    ready_backends: IntGaugeVec,
    pending_backend_dials: OnTouch<IntGauge>,
    established_connections: OnTouch<IntGauge>,
    full_receive_channels: IntGaugeVec,
    dial_failure_count: IntCounterVec,
    tls_handshake_failures: IntCounterVec,
    authentication_failures: IntCounterVec,
    agent_calls: [IntCounter; 4],
    draining_agents: IntGauge,
    token_reviews: TokenReviews,
    leases: LeaseCollection,
    own_lease: LeasePublication,
    packets: Packets,
    tunnels: Tunnels,
    resumes_refused: ResumesRefused,
    limits_reached: LimitsReached,
    hedges: Hedges,
    policy: PolicyCounts,
    throttled: Throttled,
    tenants: Tenants,
}

impl ServerMetrics {
    /// The metrics of a server, in a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let families = Families {
            registry: &registry,
            prefix: PREFIX,
        };
        families.build_info();
        let ours = Families::ours(&registry);
        let authentication_failures = ours.counters(
            "agent_authentication_failures_total",
            "Calls of agents that were refused for their tokens, by cause.",
            &["cause"],
        );
        // Each from the start, so that an alert can be written for any of them.
        for cause in AgentRefused::LABELS {
            authentication_failures.with_label_values(&[cause]);
        }
        Self {
            dial_duration: families.histogram_on_touch(
                "dial_duration_seconds",
                "Time from a dial's request to its good answer, in seconds.",
                &LATENCY,
            ),
            frontend_write_duration: families.histogram_on_touch(
                "frontend_write_duration_seconds",
                "Time that a write of a packet to a frontend took, in seconds.",
                &LATENCY,
            ),
            connection_duration: families.histogram_on_touch(
                "connection_duration_seconds",
                "Life of an established connection, in seconds.",
                &LIFETIME,
            ),
            grpc_connections: families.gauges(
                "grpc_connections",
                "Open gRPC calls, by method: Proxy of frontends, Connect of agents.",
                &["service_method"],
            ),
            http_connections: families.gauge(
                "http_connections",
                "HTTP-CONNECT requests in progress.",
            ),
            ready_backend_connections: families.gauge(
                "ready_backend_connections",
                "Agents that the strategy which changed last can choose. Deprecated, use ready_backends.",
            ),
            ready_backends: families.gauges(
                "ready_backends",
                "What each strategy can choose from: agents, for destHost their identifiers.",
                &["proxy_strategy"],
            ),
            pending_backend_dials: families.gauge_on_touch(
                "pending_backend_dials",
                "Dials that wait for an agent's answer.",
            ),
            established_connections: families.gauge_on_touch(
                "established_connections",
                "Connections that are established from frontend to endpoint.",
            ),
            full_receive_channels: families.gauges(
                "full_receive_channels",
                "Readers that are held back by a full queue, by the method they read from.",
                &["service_method"],
            ),
            dial_failure_count: families.counters(
                "dial_failure_count",
                "Failed dials, by reason. One dial may count more than once.",
                &["reason"],
            ),
            authentication_failures,
            agent_calls: ours.counters_of(
                "agent_calls_total",
                "Calls of agents that were taken, by how the agents proved who they are.",
                "authentication",
                AgentProof::ALL.map(AgentProof::label),
            ),
            draining_agents: ours.gauge(
                "draining_agents",
                "Tunnels whose agents have announced their end.",
            ),
            token_reviews: TokenReviews::new(&ours),
            leases: LeaseCollection::new(&families),
            own_lease: LeasePublication::new(&ours),
            tls_handshake_failures: ours.counters(
                "tls_handshake_failures_total",
                "TLS handshakes that peers of a listener did not complete, by cause.",
                &["listener", "cause"],
            ),
            packets: Packets::new(&families),
            tunnels: Tunnels::new(&registry),
            resumes_refused: ResumesRefused::new(&registry),
            limits_reached: LimitsReached::new(&registry),
            hedges: Hedges::new(&registry),
            policy: PolicyCounts::new(&registry),
            throttled: Throttled::new(&registry),
            tenants: Tenants::new(&registry),
            registry,
        }
    }

    /// The registry, to be rendered and to register more in.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A dial waits for its agent's answer.
    pub fn dial_started(&self) {
        self.pending_backend_dials.touch().inc();
    }

    /// It waits no more, whatever came of it.
    pub fn dial_ended(&self) {
        self.pending_backend_dials.touch().dec();
    }

    /// A dial failed.
    pub fn dial_failed(&self, failure: DialFailure) {
        self.dial_failure_count
            .with_label_values(&[failure.label()])
            .inc();
    }

    /// A connection is established; its dial took that long.
    pub fn opened(&self, took: Duration) {
        self.tunnels.stream_opened();
        self.dial_duration.touch().observe(took.as_secs_f64());
        self.established_connections.touch().inc();
    }

    /// An established connection ended.
    pub fn closed(&self, lived: Duration, reason: &CloseReason) {
        self.tunnels.stream_closed(reason);
        self.connection_duration
            .touch()
            .observe(lived.as_secs_f64());
        self.established_connections.touch().dec();
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
            dials_failed: sum(&self.dial_failure_count),
            ..self.tunnels.totals()
        }
    }

    /// How many policies there have been; `None` without any.
    pub(crate) fn policy_generation(&self) -> Option<u64> {
        self.policy.generation()
    }

    /// How often each bound was met.
    pub(crate) fn limits(&self) -> Vec<LimitStatus> {
        self.limits_reached.status()
    }

    /// A bound was met.
    pub fn limit_reached(&self, limit: Limit) {
        self.limits_reached.count(limit);
    }

    /// A dial was given to another agent.
    pub fn hedge_started(&self) {
        self.hedges.started();
    }

    /// It is known what came of that, or it could not be.
    pub fn hedge_ended(&self, end: HedgeEnd) {
        self.hedges.ended(end);
    }

    /// So many agents get no dials for a while.
    pub fn set_aside(&self, agents: usize) {
        self.hedges.set_aside(agents);
    }

    /// The policy judged a dial.
    pub fn policy_decision(&self, decision: PolicyDecision) {
        self.policy.decided(decision);
    }

    /// A policy was put in force.
    pub fn policy_in_force(&self) {
        self.policy.in_force();
    }

    /// The policy file changed, and was taken up or refused.
    pub fn policy_reloaded(&self, taken_up: bool) {
        self.policy.reloaded(taken_up);
    }

    /// A changed policy cut a stream.
    pub fn policy_cut_stream(&self) {
        self.policy.cut_stream();
    }

    /// An agent claimed what the policy refuses.
    pub fn policy_refused_agent(&self) {
        self.policy.refused_agent();
    }

    /// So many identifiers of an agent are not allowed.
    pub fn policy_dropped_claims(&self, claims: usize) {
        self.policy.dropped_claims(claims);
    }

    /// A dial was over a limit of the throttle.
    pub fn throttled(&self, result: ThrottleResult) {
        self.throttled.count(result);
    }

    /// The throttle file changed, and was taken up or refused.
    pub fn throttle_reloaded(&self, taken_up: bool) {
        self.throttled.reloaded(taken_up);
    }

    /// So many dials wait for their turn.
    pub fn throttle_waiting(&self, dials: usize) {
        self.throttled.waiting(dials);
    }

    /// What this tenant has; shown from now on.
    pub fn tenant(&self, name: &str) -> Arc<TenantMetrics> {
        self.tenants.tenant(name)
    }

    /// Other tenants than these are shown no more.
    pub fn keep_tenants(&self, is_kept: impl Fn(&str) -> bool) {
        self.tenants.keep(is_kept);
    }

    /// An agent's offer to resume a session was refused.
    pub fn resume_refused(&self, reason: ResumeRefused) {
        self.resumes_refused.count(reason);
    }

    /// A packet was written to a frontend.
    pub fn frontend_write(&self, took: Duration) {
        self.frontend_write_duration
            .touch()
            .observe(took.as_secs_f64());
    }

    /// A gRPC call is open while the returned value lives.
    pub fn call(&self, method: &str) -> Counted {
        Counted::new(self.grpc_connections.with_label_values(&[method]))
    }

    /// An HTTP-CONNECT request is in progress while the returned value lives.
    pub fn http_connection(&self) -> Counted {
        Counted::new(self.http_connections.clone())
    }

    /// A reader of this method's messages is held back while the returned value lives.
    pub fn full_receive_channel(&self, method: &str) -> Counted {
        Counted::new(self.full_receive_channels.with_label_values(&[method]))
    }

    /// How much a strategy can choose from. Also to be told at the start, with 0.
    pub fn ready_backends(&self, strategy: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let gauge = self.ready_backends.with_label_values(&[strategy]);
        // As in the reference, where each strategy's table writes the deprecated gauge when it changes.
        if gauge.get() != count {
            self.ready_backend_connections.set(count);
        }
        gauge.set(count);
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

    /// An agent's call was taken.
    pub fn agent_taken(&self, proof: AgentProof) {
        self.agent_calls[proof as usize].inc();
    }

    /// So many tunnels have agents that announced their end.
    pub fn draining_agents(&self, count: usize) {
        self.draining_agents
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An agent's call was refused for its token.
    pub fn agent_refused(&self, refused: &AgentRefused) {
        self.authentication_failures
            .with_label_values(&[refused.label()])
            .inc();
    }

    /// Somebody else was asked about an agent's token, and answered with `result`, or did not.
    pub fn token_reviewed(&self, result: &str, took: Duration) {
        self.token_reviews.reviewed(result, took);
    }

    /// The server's own Lease was to be acquired or renewed; whether it was.
    pub fn lease_renewal_tried(&self, renewed: bool) {
        self.own_lease.tried(renewed);
    }

    /// Leases were listed in search of expired ones; HTTP status and Kubernetes' reason of the answer.
    pub fn leases_listed(&self, code: u16, reason: &str, took: Duration) {
        self.leases.listed(code, reason, took);
    }

    /// An expired Lease was to be deleted; HTTP status and Kubernetes' reason of the answer.
    pub fn lease_deleted(&self, code: u16, reason: &str, took: Duration) {
        self.leases.deleted(code, reason, took);
    }

    /// An expired Lease was deleted.
    pub fn lease_culled(&self) {
        self.leases.culled();
    }

    /// A peer did not get through the TLS handshake.
    pub fn tls_handshake_failed(&self, listener: TlsListener, failure: HandshakeFailure) {
        let listener = match listener {
            TlsListener::Agent => "agent",
            TlsListener::Frontend => "frontend",
        };
        self.tls_handshake_failures
            .with_label_values(&[listener, failure.label()])
            .inc();
    }
}

impl Default for ServerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::render;

    fn scrape(metrics: &ServerMetrics) -> Vec<String> {
        render::<&str>(metrics.registry(), &[])
            .lines()
            .filter(|line| line.starts_with(PREFIX) || line.starts_with("dialback_tls"))
            .map(|line| line.replace(PREFIX, ""))
            .collect()
    }

    #[test]
    fn at_the_start_there_is_what_the_reference_has() {
        let metrics = ServerMetrics::new();
        metrics.ready_backends("default", 0);
        assert_eq!(
            scrape(&metrics),
            [
                "culled_leases_count 0",
                "http_connections 0",
                "ready_backend_connections 0",
                "ready_backends{proxy_strategy=\"default\"} 0",
            ]
        );
    }

    #[test]
    fn a_connections_life_is_followed() {
        let metrics = ServerMetrics::new();
        metrics.dial_started();
        metrics.dial_ended();
        metrics.opened(Duration::from_millis(30));
        metrics.closed(Duration::from_secs(20), &CloseReason::FrontendClosed);
        metrics.packet(Segment::FromAgent, PacketKind::Data);
        metrics.packet(Segment::FromAgent, PacketKind::Data);
        metrics.packet_failed(Segment::FromClient, Code::Canceled, None);
        metrics.dial_failed(DialFailure::NoAgent);
        metrics.tls_handshake_failed(TlsListener::Agent, HandshakeFailure::NoCertificate);
        let lines = scrape(&metrics);
        for line in [
            "dial_duration_seconds_bucket{le=\"1e-06\"} 0",
            "dial_duration_seconds_bucket{le=\"0.025\"} 0",
            "dial_duration_seconds_bucket{le=\"0.1\"} 1",
            "dial_duration_seconds_bucket{le=\"+Inf\"} 1",
            "dial_duration_seconds_sum 0.03",
            "dial_duration_seconds_count 1",
            "connection_duration_seconds_bucket{le=\"15\"} 0",
            "connection_duration_seconds_bucket{le=\"86400\"} 1",
            "pending_backend_dials 0",
            "established_connections 0",
            "dial_failure_count{reason=\"no_agent\"} 1",
            "stream_packets_total{packet_type=\"DATA\",segment=\"from_agent\"} 2",
            "stream_errors_total{code=\"Canceled\",packet_type=\"Unknown\",segment=\"from_client\"} 1",
            "dialback_tls_handshake_failures_total{cause=\"no_certificate\",listener=\"agent\"} 1",
        ] {
            assert!(
                lines.iter().any(|found| found == line),
                "{line}\n{lines:#?}"
            );
        }
    }

    #[test]
    fn open_things_are_counted_while_they_are_open() {
        let metrics = ServerMetrics::new();
        let request = metrics.http_connection();
        let call = metrics.call("Proxy");
        let connect = metrics.call("Connect");
        let open = scrape(&metrics);
        assert!(open.contains(&"http_connections 1".to_owned()));
        assert!(open.contains(&"grpc_connections{service_method=\"Proxy\"} 1".to_owned()));
        assert!(open.contains(&"grpc_connections{service_method=\"Connect\"} 1".to_owned()));
        drop((request, call, connect));
        let closed = scrape(&metrics);
        assert!(closed.contains(&"http_connections 0".to_owned()));
        assert!(closed.contains(&"grpc_connections{service_method=\"Proxy\"} 0".to_owned()));
        assert!(closed.contains(&"grpc_connections{service_method=\"Connect\"} 0".to_owned()));
    }

    #[test]
    fn the_deprecated_gauge_follows_the_strategy_that_changed_last() {
        let metrics = ServerMetrics::new();
        let report = |destinations, agents| {
            metrics.ready_backends("default", agents);
            metrics.ready_backends("destHost", destinations);
            metrics.ready_backend_connections.get()
        };
        assert_eq!(report(0, 0), 0);
        assert_eq!(report(0, 1), 1, "an agent without identifiers");
        assert_eq!(report(3, 2), 3, "one with three");
        assert_eq!(report(3, 1), 1);
    }
}
