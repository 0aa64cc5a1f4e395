//! Our metrics against a table of Konnectivity's: dashboards and alerts written for it go on working.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dialback_core::server::DialFailure;
use dialback_core::wire::Code;
use dialback_core::{CloseReason, PacketKind, client};
use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::{AgentMetrics, ClientMetrics, Segment, ServerMetrics};

/// A family: its type, what each label may be (nothing for anything), and the bounds of its buckets.
#[derive(Debug)]
struct Family {
    kind: MetricType,
    labels: BTreeMap<&'static str, BTreeSet<&'static str>>,
    buckets: Vec<f64>,
}

/// The table, by the families' names.
fn konnectivity() -> BTreeMap<&'static str, Family> {
    let lines = include_str!("konnectivity.tsv").lines();
    let rows = lines.filter(|line| !line.starts_with('#'));
    rows.map(|row| {
        let mut fields = row.split('\t');
        let mut field = || fields.next().unwrap_or_default();
        let name = field();
        let kind = match field() {
            "counter" => MetricType::COUNTER,
            "gauge" => MetricType::GAUGE,
            "histogram" => MetricType::HISTOGRAM,
            other => panic!("{name}: type {other:?}"),
        };
        let labels = field()
            .split(';')
            .filter(|label| !label.is_empty())
            .map(|label| {
                let (label, values) = label.split_once('=').expect("a label has values");
                let values = values.split('|').filter(|value| *value != "*");
                (label, values.collect())
            });
        let labels = labels.collect();
        let buckets = field()
            .split_whitespace()
            .map(|bound| bound.parse().expect("a bound is a number"))
            .collect();
        let family = Family {
            kind,
            labels,
            buckets,
        };
        (name, family)
    })
    .collect()
}

/// Touches every metric of the server, with each value of each label that it can have.
pub(super) fn server() -> Registry {
    let metrics = ServerMetrics::new();
    let second = Duration::from_secs(1);
    for failure in [
        DialFailure::NoAgent,
        DialFailure::ErrorResponse,
        DialFailure::UnrecognizedResponse,
        DialFailure::SendResponse,
        DialFailure::BackendClose,
        DialFailure::BackendDialTimeout,
        DialFailure::FrontendClose,
    ] {
        metrics.dial_started();
        metrics.dial_failed(failure);
        metrics.dial_ended();
    }
    metrics.opened(second);
    metrics.closed(second, &CloseReason::FrontendClosed);
    metrics.frontend_write(second);
    for method in ["Proxy", "Connect"] {
        drop((metrics.call(method), metrics.full_receive_channel(method)));
    }
    drop(metrics.http_connection());
    for strategy in ["default", "destHost", "defaultRoute"] {
        metrics.ready_backends(strategy, 1);
    }
    for segment in [
        Segment::FromClient,
        Segment::ToClient,
        Segment::FromAgent,
        Segment::ToAgent,
    ] {
        for kind in PacketKind::ALL.into_iter().filter(is_konnectivitys) {
            metrics.packet(segment, kind);
        }
        metrics.packet_failed(segment, Code::Unavailable, None);
        metrics.packet_failed(segment, Code::Unavailable, Some(PacketKind::Data));
    }
    metrics.leases_listed(200, "", second);
    metrics.lease_deleted(404, "NotFound", second);
    metrics.lease_culled();
    metrics.registry().clone()
}

pub(super) fn agent() -> Registry {
    let metrics = AgentMetrics::new();
    let second = Duration::from_secs(1);
    metrics.endpoint_dialled(second);
    for timeout in [true, false] {
        metrics.endpoint_dial_failed(timeout);
    }
    metrics.endpoint_opened();
    metrics.endpoint_closed(&CloseReason::EndpointClosed);
    metrics.server_connection_failed();
    for segment in [Segment::FromAgent, Segment::ToAgent] {
        for kind in PacketKind::ALL.into_iter().filter(is_konnectivitys) {
            metrics.packet(segment, kind);
        }
        metrics.packet_failed(segment, Code::Unknown, None);
    }
    metrics.leases_listed(403, "Forbidden", second);
    metrics.leases_watched(200, "");
    metrics.registry().clone()
}

pub(super) fn client() -> Registry {
    let metrics = ClientMetrics::new();
    for reason in [
        client::DialFailure::Unknown,
        client::DialFailure::Endpoint,
        client::DialFailure::DialClosed,
        client::DialFailure::Timeout,
        client::DialFailure::Context,
        client::DialFailure::TunnelClosed,
        client::DialFailure::TunnelStarted,
        client::DialFailure::StreamSetup,
    ] {
        metrics.dial_failed(reason);
    }
    drop(metrics.connection_created());
    for segment in [Segment::FromClient, Segment::ToClient] {
        for kind in PacketKind::ALL.into_iter().filter(is_konnectivitys) {
            metrics.packet(segment, kind);
        }
        metrics.packet_failed(segment, Code::Canceled, None);
    }
    metrics.registry().clone()
}

/// Packets of the extensions are counted too, where a peer knows them.
fn is_konnectivitys(kind: &PacketKind) -> bool {
    match kind {
        PacketKind::DialRequest
        | PacketKind::DialResponse
        | PacketKind::CloseRequest
        | PacketKind::CloseResponse
        | PacketKind::Data
        | PacketKind::CloseDial
        | PacketKind::Drain => true,
        PacketKind::WindowUpdate | PacketKind::CloseWrite | PacketKind::Ack | PacketKind::Reset => {
            false
        }
    }
}

fn check(name: &str, expected: &Family, family: &MetricFamily) {
    assert_eq!(family.get_field_type(), expected.kind, "{name}");
    assert!(!family.help().is_empty(), "{name}");
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for metric in family.get_metric() {
        let labels: BTreeSet<&str> = metric.get_label().iter().map(|pair| pair.name()).collect();
        let names: BTreeSet<&str> = expected.labels.keys().copied().collect();
        assert_eq!(labels, names, "{name}");
        for pair in metric.get_label() {
            seen.entry(pair.name()).or_default().insert(pair.value());
        }
        if expected.kind == MetricType::HISTOGRAM {
            assert_eq!(bounds(metric), expected.buckets, "{name}");
        }
    }
    for (label, values) in &expected.labels {
        let unknown: Vec<_> = seen[label].difference(values).collect();
        assert!(
            values.is_empty() || unknown.is_empty(),
            "{name}: {unknown:?}"
        );
    }
}

fn bounds(metric: &Metric) -> Vec<f64> {
    let buckets = metric.get_histogram().get_bucket().iter();
    buckets
        .map(|bucket| bucket.upper_bound())
        .filter(|bound| bound.is_finite())
        .collect()
}

#[test]
fn every_family_of_konnectivity_is_there_with_its_type_labels_and_buckets_and_no_other() {
    let mut table = konnectivity();
    for registry in [server(), agent(), client()] {
        for family in registry.gather() {
            let name = family.name();
            if !name.starts_with("konnectivity_") {
                assert!(name.starts_with("dialback_"), "{name} is nobody's");
                continue;
            }
            let expected = table
                .remove(name)
                .unwrap_or_else(|| panic!("{name} is not Konnectivity's, or is there twice"));
            check(name, &expected, &family);
        }
    }
    assert!(table.is_empty(), "missing: {:?}", table.keys());
}

#[test]
fn the_families_of_the_process_are_those_of_a_go_program() {
    let text = super::render::<&str>(&Registry::new(), &[]);
    let types: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let expected = [
        ("process_cpu_seconds_total", "counter"),
        ("process_max_fds", "gauge"),
        ("process_open_fds", "gauge"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_start_time_seconds", "gauge"),
        ("process_virtual_memory_bytes", "gauge"),
        ("process_virtual_memory_max_bytes", "gauge"),
    ];
    assert_eq!(types, BTreeMap::from(expected));
}
