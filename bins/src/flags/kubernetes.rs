//! What both daemons are told about Kubernetes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dialback_core::agent::fleet::ServerCountSource;

use super::listen::path_from_flag;
use super::problem::{Check, OptionProblem};
use super::value::{LabelSelector, label_key_faults, label_value_faults, subdomain_faults};
use crate::kubernetes::lease_name;

/// How to reach the Kubernetes API, where anything needs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubernetesOptions {
    /// `--kubeconfig`; without it the daemon is in a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// `--kubeconfig-qps`: requests a second; 0 for our default, below that for no limit.
    pub qps: f32,
    /// `--kubeconfig-burst`: requests at once after a pause, at least 1 where `qps` is a limit.
    pub burst: u32,
}

/// Whose tokens let agents in: `--agent-namespace`, `--agent-service-account`, `--authentication-audience`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAuthentication {
    /// The service account's namespace.
    pub namespace: String,
    /// The service account's name.
    pub service_account: String,
    /// Whom the tokens have to be made for.
    pub audience: String,
}

/// How a server tells that it is there: `--enable-lease-controller`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasePublishing {
    /// Where its Lease is: `--lease-namespace`, default `kube-system`.
    pub namespace: String,
    /// What all servers' Leases are labelled with: `--lease-label`, default `k8s-app=konnectivity-server`.
    pub labels: BTreeMap<String, String>,
}

/// How an agent counts servers: `--count-server-leases`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseCounting {
    /// Where the Leases are: `--lease-namespace`, default `kube-system`; empty for every namespace.
    pub namespace: String,
    /// Which Leases are servers': `--lease-label-selector`.
    pub selector: LabelSelector,
    /// What counts beside them: `--server-count-source`.
    pub source: ServerCountSource,
}

impl KubernetesOptions {
    /// From `--kubeconfig`, `--kubeconfig-qps` and `--kubeconfig-burst`.
    pub(super) fn from_flags(check: &mut Check, kubeconfig: &str, qps: f32, burst: i64) -> Self {
        // client-go refuses a rate without a burst; who has set a rate means this.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate above 2^31 is no rate"
        )]
        let twice = (qps * 2.0).ceil() as u32;
        let burst = u32::try_from(burst).unwrap_or(0);
        let derive = qps > 0.0 && burst == 0;
        check.warn_if(derive, || {
            format!("--kubeconfig-qps={qps} without --kubeconfig-burst: {twice} requests at once are allowed")
        });
        Self {
            kubeconfig: path_from_flag(kubeconfig),
            qps: if qps.is_nan() { 0.0 } else { qps },
            burst: if derive { twice.max(1) } else { burst },
        }
    }
}

impl LeasePublishing {
    /// From `--lease-namespace` and `--lease-label`, for the Lease of this server.
    pub(super) fn from_flags(
        check: &mut Check,
        namespace: &str,
        labels: &str,
        server_id: &str,
    ) -> Self {
        check.refuse_if(namespace.is_empty(), || OptionProblem::NoLeaseNamespace);
        for fault in subdomain_faults(&lease_name(server_id)) {
            check.refuse(OptionProblem::LeaseName {
                server_id: server_id.to_owned(),
                fault,
            });
        }
        Self {
            namespace: namespace.to_owned(),
            labels: parse_labels(check, labels),
        }
    }
}

/// Reads `key=value[,key=value]`, blanks around either allowed (Konnectivity, `pkg/util/labels.go`), and what the API
/// server would refuse.
fn parse_labels(check: &mut Check, text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    if text.is_empty() {
        check.refuse(OptionProblem::NoLabel);
        return labels;
    }
    for label in text.split(',') {
        let pair = label.split_once('=').filter(|(_, v)| !v.contains('='));
        let Some((key, value)) = pair else {
            check.refuse(OptionProblem::Label(label.to_owned()));
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        for fault in label_key_faults(key)
            .into_iter()
            .chain(label_value_faults(value))
        {
            check.refuse(OptionProblem::LabelFault {
                label: label.to_owned(),
                fault,
            });
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

impl LeaseCounting {
    /// From `--lease-namespace`, `--lease-label-selector` and `--server-count-source`, which has been checked.
    pub(super) fn from_flags(namespace: &str, selector: &LabelSelector, source: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            selector: selector.clone(),
            source: match source {
                "max" => ServerCountSource::Max,
                _ => ServerCountSource::Leases,
            },
        }
    }
}
