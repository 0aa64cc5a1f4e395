//! Servers counted by their Leases.

use std::sync::Arc;

use dialback_core::agent::fleet::{ServerCountSource, ServerLeases};
use dialback_runtime::metrics::{AgentMetrics, render};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::api_server::FakeApiServer;
use super::{anonymous, labels, renewed_at, renewed_now};
use crate::flags::{LabelSelector, LeaseCounting};
use crate::kubernetes::LeaseCounter;

const NAMESPACE: &str = "kube-system";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

/// A counter at work, and what it tells.
struct Counting {
    counts: UnboundedReceiver<u64>,
    metrics: Arc<AgentMetrics>,
    task: JoinHandle<()>,
}

impl Counting {
    async fn start(api: &FakeApiServer, namespace: &str) -> Self {
        let options = LeaseCounting {
            namespace: namespace.to_owned(),
            selector: LabelSelector::parse("k8s-app=konnectivity-server").unwrap(),
            source: ServerCountSource::Leases,
        };
        let metrics = Arc::new(AgentMetrics::new());
        let counter = LeaseCounter::new(anonymous(api).await, &options, Arc::clone(&metrics));
        let (tell, counts) = unbounded_channel();
        let task = tokio::spawn(async move {
            // Nobody listens any more when the test ends.
            let tell = |leases: ServerLeases| {
                let _ = tell.send(leases.count());
            };
            match counter.run(tell).await {}
        });
        Self {
            counts,
            metrics,
            task,
        }
    }

    async fn until(&mut self, wanted: u64) {
        let reached = async { while self.counts.recv().await.unwrap() != wanted {} };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        reached.unwrap_or_else(|_| panic!("{wanted} servers were never counted"));
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_count_follows_the_leases() {
    let api = FakeApiServer::start();
    let long_ago = "2020-01-01T00:00:00.000000Z";
    let put = |name: &str, spec| api.put_lease(NAMESPACE, name, labels(), spec);
    put("a", renewed_now(3600));
    put("b", renewed_now(3600));
    put("gone", renewed_at(long_ago, 30));
    // On which the reference ends.
    put("endless", json!({"renewTime": long_ago}));
    api.put_lease(NAMESPACE, "other", json!({}), renewed_now(3600));
    api.put_lease("elsewhere", "c", labels(), renewed_now(3600));
    let mut counting = Counting::start(&api, NAMESPACE).await;
    counting.until(2).await;
    put("c", renewed_now(3600));
    counting.until(3).await;
    put("gone", renewed_now(3600));
    counting.until(4).await;
    api.delete_lease(NAMESPACE, "a");
    counting.until(3).await;
    put("b", renewed_at(long_ago, 30));
    counting.until(2).await;
    let text = render::<&str>(counting.metrics.registry(), &[]);
    for line in [
        "konnectivity_network_proxy_agent_lease_lists_total{http_response_code=\"200\",reason=\"\"} 1\n",
        "konnectivity_network_proxy_agent_lease_list_latency_seconds_count{http_response_code=\"200\"} 1\n",
        "konnectivity_network_proxy_agent_lease_watches_total{http_response_code=\"200\",reason=\"\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_namespace_counts_without_one() {
    let api = FakeApiServer::start();
    api.put_lease(NAMESPACE, "a", labels(), renewed_now(3600));
    api.put_lease("elsewhere", "a", labels(), renewed_now(3600));
    let mut counting = Counting::start(&api, "").await;
    counting.until(2).await;
}

/// Nothing is written when a Lease expires: the time is kept here.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_counts_no_more() {
    let api = FakeApiServer::start();
    api.put_lease(NAMESPACE, "a", labels(), renewed_now(3600));
    api.put_lease(NAMESPACE, "b", labels(), renewed_now(1));
    let mut counting = Counting::start(&api, NAMESPACE).await;
    counting.until(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_number_stands_until_the_api_server_is_back() {
    let api = FakeApiServer::start();
    api.put_lease(NAMESPACE, "a", labels(), renewed_now(3600));
    api.put_lease(NAMESPACE, "b", labels(), renewed_now(3600));
    let mut counting = Counting::start(&api, NAMESPACE).await;
    counting.until(2).await;
    api.until("a watch", |state| {
        let mut requests = state.requests.iter();
        requests
            .find(|request| request.path.contains("watch=true"))
            .map(|_| ())
    });
    api.go_away();
    // Nobody is told of it; what is told next is what there is after the outage.
    api.put_lease(NAMESPACE, "c", labels(), renewed_now(3600));
    api.come_back();
    let next = tokio::time::timeout(PATIENCE, counting.counts.recv()).await;
    assert_eq!(next.unwrap(), Some(3));
}
