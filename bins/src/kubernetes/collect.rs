//! Leases of servers that are gone: deleted by those that are there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::metrics::ServerMetrics;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Preconditions};
use tokio::time::Instant;

use super::client::{ApiServer, RequestError};
use super::lease::valid_until;

/// Deletes expired Leases with the servers' labels, at once and again some time after each pass. Every server does, so
/// that it may find that another one has been faster.
#[derive(Debug)]
pub(super) struct Collector {
    api: ApiServer,
    leases: Api<Lease>,
    ours: ListParams,
    metrics: Arc<ServerMetrics>,
}

impl Collector {
    pub(super) fn new(
        api: ApiServer,
        leases: Api<Lease>,
        labels: &BTreeMap<String, String>,
        metrics: Arc<ServerMetrics>,
    ) -> Self {
        let pairs: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        Self {
            api,
            leases,
            ours: ListParams::default().labels(&pairs.join(",")),
            metrics,
        }
    }

    /// `every` is the pause between two passes.
    pub(super) async fn run(&self, every: Duration) {
        let mut failed = false;
        loop {
            match self.pass().await {
                Ok(()) => failed = false,
                Err(error) if !std::mem::replace(&mut failed, true) => {
                    tracing::warn!(%error, "expired Leases could not be listed; trying on");
                }
                Err(error) => tracing::debug!(%error, "expired Leases could not be listed"),
            }
            tokio::time::sleep(every).await;
        }
    }

    async fn pass(&self) -> Result<(), RequestError> {
        let start = Instant::now();
        let listed = self.api.ask(self.leases.list(&self.ours)).await;
        if let Some((code, reason)) = outcome(&listed) {
            self.metrics.leases_listed(code, reason, start.elapsed());
        }
        let now = Timestamp::now();
        for lease in listed?.items {
            if valid_until(&lease).is_none_or(|until| until <= now) {
                self.delete(&lease).await;
            }
        }
        Ok(())
    }

    /// Deletes a Lease unless it has changed since it was seen.
    async fn delete(&self, lease: &Lease) {
        let Some(name) = &lease.metadata.name else {
            return;
        };
        let params = DeleteParams::default().preconditions(Preconditions {
            resource_version: lease.metadata.resource_version.clone(),
            uid: None,
        });
        let start = Instant::now();
        let deleted = self.api.ask(self.leases.delete(name, &params)).await;
        if let Some((code, reason)) = outcome(&deleted) {
            self.metrics.lease_deleted(code, reason, start.elapsed());
        }
        match deleted {
            Ok(_) => {
                tracing::info!(lease = name, "expired Lease deleted");
                self.metrics.lease_culled();
            }
            Err(error) if matches!(error.code(), Some(404 | 409)) => {
                tracing::debug!(lease = name, %error, "expired Lease is gone or was renewed");
            }
            Err(error) => tracing::warn!(lease = name, %error, "expired Lease not deleted"),
        }
    }
}

/// HTTP status and reason of an answer; `None` when there was none, which the reference does not count either.
pub(super) fn outcome<T>(answer: &Result<T, RequestError>) -> Option<(u16, &str)> {
    match answer {
        Ok(_) => Some((200, "")),
        Err(error) => Some((error.code()?, error.reason())),
    }
}
