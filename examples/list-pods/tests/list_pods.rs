//! kube lists and watches, through the connector, a server and an agent, against an API server played here.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what the test does not expect fails it"
)]

use dialback_tests::endpoint::Endpoint;
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::run::run;
use dialback_tests::wait::within;
use dialback_tokio::TokioRuntime;
use dialback_tokio::connectivity::{Connectivity, ConnectivityConfig, NetworkContext};
use futures_lite::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "resourceVersion": "8"},
    })
}

/// Serves the pods of one namespace: a list, and a watch whose events come in chunks of their own.
async fn api_server() -> Endpoint {
    Endpoint::start(|socket| async move {
        let mut socket = BufReader::new(socket);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if !matches!(socket.read_line(&mut head).await, Ok(1..)) {
                    return;
                }
            }
            assert!(
                head.starts_with("GET /api/v1/namespaces/default/pods?"),
                "{head}"
            );
            let events = if head.contains("watch=true") {
                assert!(head.contains("resourceVersion=7"), "{head}");
                let event = |kind, name| json!({"type": kind, "object": pod(name)});
                vec![event("ADDED", "c"), event("DELETED", "a")]
            } else {
                let items = [pod("a"), pod("b")];
                let metadata = json!({"resourceVersion": "7"});
                vec![json!({
                    "apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": items,
                })]
            };
            let mut answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n"
                .to_owned();
            for event in events {
                let line = format!("{event}\n");
                answer.push_str(&format!("{:x}\r\n{line}\r\n", line.len()));
            }
            answer.push_str("0\r\n\r\n");
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[test]
fn kube_lists_and_watches_pods_behind_an_agent() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default().grpc()).await;
        let server = api_server().await;
        let text = format!(
            "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\n\
             egressSelections:\n- name: cluster\n  connection: {{proxyProtocol: GRPC, \
             transport: {{uds: {{udsName: {}}}}}}}\n",
            pair.socket().display()
        );
        let config = ConnectivityConfig::parse(&text, |_| true).unwrap();
        let connectivity = Connectivity::new(TokioRuntime::current().unwrap(), config).unwrap();
        let dialer = connectivity
            .lookup(&NetworkContext::new("cluster"))
            .unwrap();
        let url = format!("http://{}", server.address).parse().unwrap();
        let pods: Api<Pod> = Api::default_namespaced(list_pods::client(dialer, url));

        let list = within("a list", pods.list(&ListParams::default()))
            .await
            .unwrap();
        let names: Vec<_> = list.iter().map(Pod::name_any).collect();
        assert_eq!(names, ["a", "b"]);
        let version = list.metadata.resource_version.unwrap();
        let watch = WatchParams::default();
        let events = within("a watch", pods.watch(&watch, &version))
            .await
            .unwrap();
        let events = events.map(|event| match event.unwrap() {
            WatchEvent::Added(pod) => format!("{} was added", pod.name_any()),
            WatchEvent::Deleted(pod) => format!("{} was deleted", pod.name_any()),
            other => panic!("unexpected: {other:?}"),
        });
        let events: Vec<_> = within("all events", events.collect()).await;
        assert_eq!(events, ["c was added", "a was deleted"]);

        drop((pods, connectivity));
        pair.end().await;
    });
}
