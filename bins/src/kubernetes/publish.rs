//! The server's own Lease: acquired, renewed, and taken back at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::metrics::ServerMetrics;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use tokio::task::JoinHandle;

use super::client::{ApiServer, RequestError};
use super::collect::Collector;
use super::lease::{LEASE_SECONDS, RENEW_EVERY, lease_name};
use crate::flags::LeasePublishing;

/// Pauses after failures: the first, and the longest (client-go, `k8s.io/component-helpers/apimachinery/lease`).
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(7));
/// Tries of one renewal, before it begins anew with acquiring.
const RENEWALS: usize = 5;
/// How long taking the Lease back may hold up the server's end; it expires by itself anyway.
const GOODBYE: Duration = Duration::from_secs(5);

/// Publishes the server's Lease, and collects those of servers that are gone, until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct LeaseController {
    publisher: Arc<Publisher>,
    tasks: [JoinHandle<()>; 2],
}

impl LeaseController {
    /// Starts; to be called on tokio.
    pub(crate) fn start(
        api: ApiServer,
        options: &LeasePublishing,
        server_id: &str,
        metrics: Arc<ServerMetrics>,
    ) -> Self {
        Self::start_every(RENEW_EVERY, api, options, server_id, metrics)
    }

    /// `every` is the pause between two renewals, and between two collections.
    pub(super) fn start_every(
        every: Duration,
        api: ApiServer,
        options: &LeasePublishing,
        server_id: &str,
        metrics: Arc<ServerMetrics>,
    ) -> Self {
        let leases: Api<Lease> = Api::namespaced(api.client(), &options.namespace);
        let publisher = Arc::new(Publisher {
            api: api.clone(),
            leases: leases.clone(),
            name: lease_name(server_id),
            server_id: server_id.to_owned(),
            labels: options.labels.clone(),
            metrics: Arc::clone(&metrics),
        });
        let collector = Collector::new(api, leases, &options.labels, metrics);
        let publishing = Arc::clone(&publisher);
        let tasks = [
            tokio::spawn(async move { publishing.run(every).await }),
            tokio::spawn(async move { collector.run(every).await }),
        ];
        Self { publisher, tasks }
    }

    /// Renews no more, and takes the Lease back.
    pub(crate) async fn stop(mut self) {
        for task in &mut self.tasks {
            task.abort();
            // It ends with the abortion, or has ended: both are fine. A renewal after the end would bring it back.
            let _ = task.await;
        }
        let lease = &self.publisher.name;
        match tokio::time::timeout(GOODBYE, self.publisher.delete()).await {
            Ok(Ok(())) => tracing::info!(lease, "Lease taken back"),
            Ok(Err(error)) => tracing::warn!(lease, %error, "Lease not taken back, it expires"),
            Err(_) => {
                tracing::warn!(lease, limit = ?GOODBYE, "Lease not taken back in time, it expires")
            }
        }
    }
}

impl Drop for LeaseController {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct Publisher {
    api: ApiServer,
    leases: Api<Lease>,
    name: String,
    server_id: String,
    labels: BTreeMap<String, String>,
    metrics: Arc<ServerMetrics>,
}

impl Publisher {
    async fn run(&self, every: Duration) {
        let mut held = None;
        loop {
            held = Some(self.renewed(held).await);
            // The jitter that client-go has there.
            let jitter = every.mul_f64(0.04 * fastrand::f64());
            tokio::time::sleep(every + jitter).await;
        }
    }

    /// The Lease as it is after it was renewed or acquired; tries until that is done.
    async fn renewed(&self, held: Option<Lease>) -> Lease {
        if let Some(held) = held
            && let Some(renewed) = self.renew(held).await
        {
            return renewed;
        }
        let (mut pause, longest) = RETRY;
        let mut failures = 0_u32;
        loop {
            let acquired = self.acquire().await;
            self.metrics.lease_renewal_tried(acquired.is_ok());
            match acquired {
                Ok(acquired) => {
                    if failures > 0 {
                        tracing::info!(lease = self.name, failures, "Lease acquired at last");
                    } else {
                        tracing::info!(lease = self.name, "Lease acquired");
                    }
                    return acquired;
                }
                // Said once; the outage may be long.
                Err(error) if failures == 0 => {
                    tracing::warn!(lease = self.name, %error, "Lease not acquired, agents may not count this server; trying on");
                }
                Err(error) => tracing::debug!(lease = self.name, %error, "Lease not acquired"),
            }
            failures = failures.saturating_add(1);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn acquire(&self) -> Result<Lease, RequestError> {
        match self.api.ask(self.leases.get_opt(&self.name)).await? {
            Some(found) => self.put(found).await,
            None => {
                let lease = self.fresh(ObjectMeta::default());
                let params = PostParams::default();
                self.api.ask(self.leases.create(&params, &lease)).await
            }
        }
    }

    /// `None` when it can't be had.
    async fn renew(&self, mut held: Lease) -> Option<Lease> {
        for attempt in 1..=RENEWALS {
            let renewed = self.put(held.clone()).await;
            self.metrics.lease_renewal_tried(renewed.is_ok());
            match renewed {
                Ok(renewed) => return Some(renewed),
                Err(error) => {
                    tracing::debug!(lease = self.name, attempt, %error, "Lease not renewed");
                    match error.code() {
                        Some(409) => {
                            if let Ok(found) = self.api.ask(self.leases.get(&self.name)).await {
                                held = found;
                            }
                        }
                        // Taken for expired, and deleted by another server.
                        Some(404) => return None,
                        _ => {}
                    }
                }
            }
        }
        None
    }

    async fn put(&self, old: Lease) -> Result<Lease, RequestError> {
        let lease = self.fresh(old.metadata);
        let params = PostParams::default();
        let put = self.leases.replace(&self.name, &params, &lease);
        self.api.ask(put).await
    }

    /// The Lease as it is to be from now on.
    fn fresh(&self, old: ObjectMeta) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(self.labels.clone()),
                ..old
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.server_id.clone()),
                lease_duration_seconds: Some(LEASE_SECONDS),
                renew_time: Some(MicroTime(Timestamp::now())),
                ..LeaseSpec::default()
            }),
        }
    }

    async fn delete(&self) -> Result<(), RequestError> {
        let params = DeleteParams::default();
        match self.api.ask(self.leases.delete(&self.name, &params)).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(404) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
