//! The server's own Lease, and those of servers that are gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::metrics::{ServerMetrics, render};
use serde_json::{Value, json};

use super::api_server::{FakeApiServer, State};
use super::{anonymous, labels, renewed_at, renewed_now};
use crate::flags::LeasePublishing;
use crate::kubernetes::LeaseController;

const NAMESPACE: &str = "kube-system";
const OURS: &str = "konnectivity-proxy-server-one";
/// Far shorter than in earnest, so that much happens in a short time.
const OFTEN: Duration = Duration::from_millis(20);

async fn controller(api: &FakeApiServer) -> (LeaseController, Arc<ServerMetrics>) {
    let options = LeasePublishing {
        namespace: NAMESPACE.to_owned(),
        labels: BTreeMap::from([("k8s-app".to_owned(), "konnectivity-server".to_owned())]),
    };
    let metrics = Arc::new(ServerMetrics::new());
    let client = anonymous(api).await;
    let controller =
        LeaseController::start_every(OFTEN, client, &options, "one", Arc::clone(&metrics));
    (controller, metrics)
}

fn version(state: &State) -> Option<u64> {
    let version = &state.lease(NAMESPACE, OURS)?["metadata"]["resourceVersion"];
    version.as_str()?.parse().ok()
}

/// Waits until the Lease is renewed again.
fn until_renewed(api: &FakeApiServer) {
    let before = api.look(version);
    api.until("a renewal", |state| (version(state) > before).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_made_and_renewed_and_taken_back() {
    let api = FakeApiServer::start();
    let (controller, _) = controller(&api).await;
    let made: Value = api.until("a Lease", |state| state.lease(NAMESPACE, OURS).cloned());
    assert_eq!(made["metadata"]["labels"], labels());
    assert_eq!(made["spec"]["holderIdentity"], "one");
    assert_eq!(made["spec"]["leaseDurationSeconds"], 30);
    // As the reference leaves them.
    assert!(made["spec"].get("acquireTime").is_none());
    assert!(made["spec"].get("leaseTransitions").is_none());
    until_renewed(&api);
    until_renewed(&api);
    let renewed = api
        .look(|state| state.lease(NAMESPACE, OURS).cloned())
        .unwrap();
    let time = |lease: &Value| lease["spec"]["renewTime"].as_str().unwrap().to_owned();
    assert!(time(&renewed) > time(&made), "{made} {renewed}");
    controller.stop().await;
    assert_eq!(api.look(|state| state.leases().len()), 0);
    let last = api.look(|state| state.requests.last().cloned()).unwrap();
    assert_eq!(last.method, "DELETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_a_former_life_is_taken_over() {
    let api = FakeApiServer::start();
    let spec = renewed_at("2020-01-01T00:00:00.000000Z", 5);
    api.put_lease(NAMESPACE, OURS, json!({"old": "label"}), spec);
    let (_controller, _) = controller(&api).await;
    until_renewed(&api);
    let lease = api
        .look(|state| state.lease(NAMESPACE, OURS).cloned())
        .unwrap();
    assert_eq!(lease["metadata"]["labels"], labels());
    assert_eq!(lease["spec"]["holderIdentity"], "one");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_others_changed_or_deleted_is_renewed_all_the_same() {
    let api = FakeApiServer::start();
    let (_controller, metrics) = controller(&api).await;
    until_renewed(&api);
    // The version that the server knows is not the last one any more.
    api.put_lease(NAMESPACE, OURS, json!({}), renewed_now(30));
    api.until("a renewal after a conflict", |state| {
        let lease = state.lease(NAMESPACE, OURS)?;
        (lease["metadata"]["labels"] == labels()).then_some(())
    });
    // Another write may be under way, which finds nothing to change.
    api.delete_lease(NAMESPACE, OURS);
    api.until("the Lease made anew", |state| {
        state.lease(NAMESPACE, OURS).map(|_| ())
    });
    until_renewed(&api);
    let text = render::<&str>(metrics.registry(), &[]);
    let tried = |result: &str| {
        let series = format!("dialback_lease_renewals_total{{result=\"{result}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&series));
        line.unwrap().parse::<u64>().unwrap()
    };
    // It was written four times, of which the last is counted when its answer is in.
    assert!(tried("renewed") >= 3, "{text}");
    // The conflict, and what was not there to be renewed.
    assert!(tried("failed") >= 2, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_goes_on_when_the_api_server_is_back() {
    let api = FakeApiServer::start();
    let (controller, _) = controller(&api).await;
    until_renewed(&api);
    api.go_away();
    api.come_back();
    until_renewed(&api);
    controller.stop().await;
    assert_eq!(api.look(|state| state.leases().len()), 0);
}

/// The end of the server waits for nobody who is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_can_not_be_taken_back_is_left_to_expire() {
    let api = FakeApiServer::start();
    let (controller, _) = controller(&api).await;
    until_renewed(&api);
    api.go_away();
    controller.stop().await;
    assert_eq!(api.look(|state| state.leases().len()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_leases_of_servers_are_collected_and_no_others() {
    let api = FakeApiServer::start();
    let long_ago = "2020-01-01T00:00:00.000000Z";
    let put = |name: &str, labels, spec| api.put_lease(NAMESPACE, name, labels, spec);
    put("expired", labels(), renewed_at(long_ago, 30));
    put(
        "never-renewed",
        labels(),
        json!({"leaseDurationSeconds": 30}),
    );
    // On which the reference ends.
    put("endless", labels(), json!({"renewTime": long_ago}));
    put("valid", labels(), renewed_now(3600));
    put("other", json!({"k8s-app": "x"}), renewed_at(long_ago, 30));
    api.put_lease("elsewhere", "expired", labels(), renewed_at(long_ago, 30));
    let (_controller, metrics) = controller(&api).await;
    api.until("a second pass with nothing left to delete", |state| {
        let lists = state.requests.iter();
        let lists = lists.filter(|request| request.path.contains("labelSelector"));
        (lists.count() >= 3 && state.leases().len() == 4).then_some(())
    });
    let mut left = api.look(|state| {
        let names = state.leases().into_iter();
        names.map(str::to_owned).collect::<Vec<_>>()
    });
    left.sort();
    assert_eq!(left, ["expired", OURS, "other", "valid"]);
    let text = render::<&str>(metrics.registry(), &[]);
    for line in [
        "konnectivity_network_proxy_server_culled_leases_count 3\n",
        "konnectivity_network_proxy_server_lease_delete_total{http_status_code=\"200\",reason=\"\"} 3\n",
        "konnectivity_network_proxy_server_lease_delete_latency_seconds_count{http_status_code=\"200\"} 3\n",
        "konnectivity_network_proxy_server_lease_list_total{http_status_code=\"200\",reason=\"\"} ",
        "konnectivity_network_proxy_server_lease_list_latency_seconds_count{http_status_code=\"200\"} ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let delete = api.look(|state| {
        let mut requests = state.requests.iter();
        requests.find(|request| request.method == "DELETE").cloned()
    });
    let version = &delete.unwrap().body["preconditions"]["resourceVersion"];
    assert!(version.is_string(), "a renewal in between would be lost");
}
