//! `docs/metrics.md` against what the programs show.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use dialback_core::{CloseReason, LinkId, LinkLoad};
use prometheus::Registry;

use super::konnectivity;
use super::live_tunnels::{Measured, Measurement};
use super::{
    AgentMetrics, AuditMetrics, CertificateMetrics, Limit, ServerMetrics, TlsListener, render,
};
use crate::server::AgentRefused;
use crate::tls::HandshakeFailure;

/// Type and labels of families.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// A tunnel whose peer has acknowledged something.
#[derive(Debug)]
struct Acknowledged;

impl Measured for Acknowledged {
    fn measure(&self) -> Option<Measurement> {
        let load = LinkLoad {
            round_trip: Some(Duration::from_millis(1)),
            ..LinkLoad::default()
        };
        Some(Measurement {
            peer: "peer".to_owned(),
            link: LinkId(1),
            age: Duration::from_secs(1),
            load,
        })
    }

    fn is_over(&self) -> bool {
        false
    }
}

fn certificates(registry: &Registry) {
    let certificates = CertificateMetrics::new(registry);
    certificates.expire("cluster-cert", SystemTime::now());
    certificates.loaded("agents");
    certificates.reloaded("agents", true);
}

/// What ours adds at the server, every family touched.
fn our_server() -> Registry {
    let metrics = ServerMetrics::new();
    certificates(metrics.registry());
    metrics.tunnel_began(Acknowledged);
    metrics.opened(Duration::ZERO);
    metrics.closed(Duration::ZERO, &CloseReason::FrontendClosed);
    metrics.limit_reached(Limit::Agents);
    metrics.policy_in_force();
    metrics.policy_reloaded(true);
    metrics.tenant("blue");
    AuditMetrics::new(metrics.registry()).written(1);
    metrics.agent_refused(&AgentRefused::NoToken);
    metrics.token_reviewed("accepted", Duration::ZERO);
    metrics.tls_handshake_failed(TlsListener::Agent, HandshakeFailure::NoCertificate);
    metrics.registry().clone()
}

fn our_agent() -> Registry {
    let metrics = AgentMetrics::new();
    certificates(metrics.registry());
    metrics.tunnel_began(Acknowledged);
    metrics.endpoint_opened();
    metrics.endpoint_closed(&CloseReason::EndpointClosed);
    metrics.registry().clone()
}

/// What the registries show, and the process where `daemon`.
fn shown(registries: &[Registry], daemon: bool) -> Families {
    let mut families = Families::new();
    for family in registries.iter().flat_map(Registry::gather) {
        let kind = format!("{:?}", family.get_field_type()).to_lowercase();
        let labels = family.get_metric().iter().flat_map(|metric| {
            let names = metric.get_label().iter().map(|pair| pair.name().to_owned());
            names.collect::<Vec<_>>()
        });
        families.insert(family.name().to_owned(), (kind, labels.collect()));
    }
    let process = render::<&str>(&Registry::new(), &[]);
    let types = process
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (name, kind) in types.filter(|_| daemon) {
        families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
    }
    families
}

/// The rows below these headings of the page.
fn documented(headings: &[&str]) -> Families {
    let mut families = Families::new();
    let mut heading = "";
    for line in include_str!("../../../docs/metrics.md").lines() {
        heading = line.strip_prefix("## ").unwrap_or(heading);
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", name, kind, labels, unit, meaning, ""] = cells[..] else {
            continue;
        };
        let Some(name) = code(name).filter(|_| headings.contains(&heading)) else {
            continue;
        };
        for (part, of) in [("_seconds", "seconds"), ("_bytes", "bytes")] {
            assert_eq!(name.contains(part), unit == of, "unit of {name}");
        }
        assert!(!unit.is_empty() && !meaning.is_empty(), "{name}");
        let labels = labels.split(", ").filter_map(code).map(str::to_owned);
        let row = (kind.to_owned(), labels.collect());
        let twice = families.insert(name.to_owned(), row);
        assert_eq!(twice, None, "{name} has two rows");
    }
    families
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    for (headings, shown) in [
        (
            &["Both daemons", "Server"][..],
            shown(&[konnectivity::server(), our_server()], true),
        ),
        (
            &["Both daemons", "Agent"],
            shown(&[konnectivity::agent(), our_agent()], true),
        ),
        (&["Client"], shown(&[konnectivity::client()], false)),
    ] {
        let documented = documented(headings);
        for (name, family) in &shown {
            assert_eq!(documented.get(name), Some(family), "{name} in {headings:?}");
        }
        let gone: Vec<_> = documented
            .keys()
            .filter(|name| !shown.contains_key(*name))
            .collect();
        assert!(gone.is_empty(), "{headings:?}: {gone:?}");
    }
}
