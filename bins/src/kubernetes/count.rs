//! Which servers there are, by their Leases.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dialback_core::agent::fleet::ServerLeases;
use dialback_runtime::metrics::AgentMetrics;
use futures_lite::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use tokio::time::Instant;

use super::client::{ApiServer, RequestError};
use super::collect::outcome;
use super::lease::valid_until;
use crate::flags::LeaseCounting;

/// Pauses after failures: the first, and the longest (client-go, `tools/cache/reflector.go`).
const RETRY: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));
/// The least pause between two lists.
const PACE: Duration = Duration::from_secs(1);
/// How long one watch lasts; the API server ends it.
const WATCH_SECONDS: u32 = 290;
/// How much later we end it ourselves.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows the Leases of servers.
///
/// Other than the reference it asks for those alone that its selector matches, and it does not take its own clock's
/// word for a server's end: when a Lease seems to have expired the Leases are listed anew, and as long as they can't
/// be, the last number stands. (A reference agent that has lost the API server counts one server after 30 s.)
#[derive(Debug)]
pub(crate) struct LeaseCounter {
    api: ApiServer,
    leases: Api<Lease>,
    selector: Option<String>,
    metrics: Arc<AgentMetrics>,
}

/// What is known of the Leases, by namespace and name.
type Known = BTreeMap<(String, String), Held>;

/// A Lease that may be valid.
#[derive(Clone, Debug)]
struct Held {
    until: Timestamp,
    /// The server's id.
    holder: Option<String>,
}

impl Held {
    fn of(lease: &Lease) -> Option<Self> {
        let holder = lease
            .spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.clone());
        Some(Self {
            until: valid_until(lease)?,
            holder,
        })
    }
}

impl LeaseCounter {
    pub(crate) fn new(api: ApiServer, options: &LeaseCounting, metrics: Arc<AgentMetrics>) -> Self {
        let leases = if options.namespace.is_empty() {
            Api::all(api.client())
        } else {
            Api::namespaced(api.client(), &options.namespace)
        };
        Self {
            api,
            leases,
            selector: Some(options.selector.to_string()).filter(|selector| !selector.is_empty()),
            metrics,
        }
    }

    /// Tells which Leases are valid whenever they are others.
    pub(crate) async fn run(&self, tell: impl Fn(ServerLeases)) -> Infallible {
        let (mut pause, longest) = RETRY;
        let mut failing = false;
        let mut told = None;
        loop {
            let mut in_touch = false;
            let followed = self.follow(|leases| {
                let count = leases.count();
                if !std::mem::replace(&mut in_touch, true) && std::mem::take(&mut failing) {
                    tracing::info!(count, "servers' Leases can be counted again");
                }
                if told.as_ref() != Some(&leases) {
                    told = Some(leases.clone());
                    if count == 0 {
                        tracing::warn!(
                            "no valid Leases of servers found, assuming that there is one server"
                        );
                    }
                    tell(leases);
                }
            });
            let ended = followed.await;
            if in_touch {
                pause = RETRY.0;
            }
            let wait = match ended {
                Ok(()) => PACE,
                Err(error) => {
                    if std::mem::replace(&mut failing, true) {
                        tracing::debug!(%error, "servers' Leases can't be counted");
                    } else {
                        tracing::warn!(%error, "servers' Leases can't be counted, the last number of them stands; trying on");
                    }
                    let wait = pause.mul_f64(1.0 + fastrand::f64());
                    pause = (pause * 2).min(longest);
                    wait
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Lists the Leases and watches them; ends without an error when they are to be listed anew.
    async fn follow(&self, mut tell: impl FnMut(ServerLeases)) -> Result<(), RequestError> {
        let (mut known, version) = self.list().await?;
        tell(valid(&known));
        let mut events = pin!(self.watch(&version).await?);
        // An API server that has vanished without a word doesn't end it.
        let limit = Instant::now() + Duration::from_secs(WATCH_SECONDS.into()) + PATIENCE;
        loop {
            let expiry = next_expiry(&known);
            let event = tokio::select! {
                event = events.next() => event,
                () = until(expiry) => return Ok(()),
                () = tokio::time::sleep_until(limit) => return Ok(()),
            };
            let Some(event) = event else { return Ok(()) };
            match event.map_err(RequestError::from)? {
                WatchEvent::Added(lease) | WatchEvent::Modified(lease) => match Held::of(&lease) {
                    Some(held) => {
                        known.insert(key(&lease), held);
                    }
                    None => {
                        known.remove(&key(&lease));
                    }
                },
                WatchEvent::Deleted(lease) => {
                    known.remove(&key(&lease));
                }
                WatchEvent::Bookmark(_) => continue,
                // It has forgotten where we were.
                WatchEvent::Error(status) if status.code == 410 => return Ok(()),
                WatchEvent::Error(status) => return Err(RequestError::Refused(status)),
            }
            tell(valid(&known));
        }
    }

    async fn list(&self) -> Result<(Known, String), RequestError> {
        let mut params = ListParams::default();
        params.label_selector.clone_from(&self.selector);
        let start = Instant::now();
        let listed = self.api.ask(self.leases.list(&params)).await;
        if let Some((code, reason)) = outcome(&listed) {
            self.metrics.leases_listed(code, reason, start.elapsed());
        }
        let list = listed?;
        let version = list.metadata.resource_version.unwrap_or_default();
        let known = list
            .items
            .iter()
            .filter_map(|lease| Some((key(lease), Held::of(lease)?)));
        Ok((known.collect(), version))
    }

    async fn watch(
        &self,
        version: &str,
    ) -> Result<
        impl futures_lite::Stream<Item = kube::Result<WatchEvent<Lease>>> + use<>,
        RequestError,
    > {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.label_selector.clone_from(&self.selector);
        let watched = self.api.ask(self.leases.watch(&params, version)).await;
        if let Some((code, reason)) = outcome(&watched) {
            self.metrics.leases_watched(code, reason);
        }
        watched
    }
}

fn key(lease: &Lease) -> (String, String) {
    let metadata = &lease.metadata;
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

fn valid(known: &Known) -> ServerLeases {
    let now = Timestamp::now();
    let valid = known.values().filter(|held| held.until > now);
    ServerLeases::new(valid.map(|held| held.holder.clone()))
}

/// How long until the next Lease that is valid expires.
fn next_expiry(known: &Known) -> Option<Duration> {
    let now = Timestamp::now();
    let left = known.values().map(|held| held.until.duration_since(now));
    let least = left.filter(SignedDuration::is_positive).min()?;
    Duration::try_from(least).ok()
}

async fn until(expiry: Option<Duration>) {
    match expiry {
        Some(expiry) => tokio::time::sleep(expiry).await,
        None => std::future::pending().await,
    }
}
