//! The daemons and a Kubernetes API server: agents that show tokens, servers counted by their Leases.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use support::api_server::FakeApiServer;
use support::daemon::{Daemon, eventually};
use support::pair::{Front, Site};
use support::stream::Stream;

const AGENT: &str = "system:serviceaccount:kube-system:konnectivity-agent";
const AUDIENCE: &str = "system:konnectivity-server";
const CONNECTED: &str = "konnectivity_network_proxy_server_ready_backend_connections";
const KNOWN: &str = "konnectivity_network_proxy_agent_known_server_count";

/// Daemons beside an API server that both may ask.
struct Cluster {
    api: FakeApiServer,
    site: Site,
    kubeconfig: String,
}

impl Cluster {
    fn new() -> Self {
        let (api, site) = (FakeApiServer::start(), Site::new());
        let file = site.file("kubeconfig");
        let user = json!({"token": "of the daemon"});
        fs::write(&file, api.kubeconfig(json!({}), user)).unwrap();
        Self {
            api,
            site,
            kubeconfig: format!("--kubeconfig={}", file.display()),
        }
    }

    /// A server that lets agents in by their tokens.
    fn start_server(&self) -> Daemon {
        let flags = [
            "--cluster-ca-cert=",
            "--agent-namespace=kube-system",
            "--agent-service-account=konnectivity-agent",
            "--authentication-audience=system:konnectivity-server",
            &self.kubeconfig,
        ];
        self.site.start_server(Front::ConnectUnix, &flags)
    }

    /// An agent without a certificate, that shows a token; its health listener is at `port`.
    fn start_agent(&self, port: u16, token: &str) -> Daemon {
        let file = self.site.file(&format!("token-{port}"));
        // As a person would write it.
        fs::write(&file, format!("{token}\n")).unwrap();
        let token = format!("--service-account-token-path={}", file.display());
        let flags = ["--agent-cert=", "--agent-key=", &token];
        self.site.start_agent_at(port, &flags)
    }
}

/// Waits until a daemon has logged something.
fn until_logged(daemon: &Daemon, text: &str) {
    eventually(|| {
        let logged = daemon.logged();
        if logged.contains(text) {
            Ok(())
        } else {
            Err(format!("{text:?} is not in the log: {logged}"))
        }
    });
}

#[test]
fn an_agent_with_a_good_token_is_let_in_and_others_hear_why_they_are_not() {
    let cluster = Cluster::new();
    let default = "system:serviceaccount:kube-system:default";
    cluster.api.issue("good", AGENT, AUDIENCE);
    cluster.api.issue("other", default, AUDIENCE);
    let mut server = cluster.start_server();
    let mut good = cluster.start_agent(8093, "good");
    good.until("/readyz", 200);
    let mut other = cluster.start_agent(8193, "other");
    let mut unknown = cluster.start_agent(8293, "unknown");
    let account = "Failed to validate authentication token, err:lookup failed: incoming request from \"default\" \
                   service account. Expected \"konnectivity-agent\"";
    let invalid =
        "Failed to validate authentication token, err:lookup failed: invalid bearer token";
    for (agent, text) in [(&mut other, account), (&mut unknown, invalid)] {
        // klog quotes what an error says.
        let quoted = text.replace('"', "\\\"");
        until_logged(agent, &quoted);
        until_logged(&server, &quoted);
        agent.until("/readyz", 503);
    }
    server.reaches(CONNECTED, 1.0);
    let refused = "dialback_agent_authentication_failures_total{cause=\"rejected\"}";
    eventually(|| match server.value(refused)? {
        count if count >= 2.0 => Ok(()),
        count => Err(format!("{refused} is {count}")),
    });
    let asked = cluster.api.look(|api| api.requests[0].clone());
    assert_eq!(asked.headers["authorization"], "Bearer of the daemon");
    assert!(!server.logged().contains("Bearer good"));
}

#[test]
fn a_token_is_rotated_under_a_hundred_streams() {
    const STREAMS: usize = 100;
    let reviewed = |api: &FakeApiServer, token: &str| {
        api.until("a review of the token", |state| {
            let mut requests = state.requests.iter();
            requests
                .find(|request| request.body["spec"]["token"] == token)
                .map(|_| ())
        });
    };
    let cluster = Cluster::new();
    let site = &cluster.site;
    cluster.api.issue("old", AGENT, AUDIENCE);
    let mut server = cluster.start_server();
    let file = site.file("token");
    let put = |content: &str| {
        // As kubelet does it: whole, or not at all.
        fs::write(site.file("next"), content).unwrap();
        fs::rename(site.file("next"), &file).unwrap();
    };
    put("old\n");
    let token = format!("--service-account-token-path={}", file.display());
    // Looks for servers all the time, so that every attempt shows the token.
    let flags = ["--agent-cert=", "--agent-key=", &token, "--sync-forever"];
    let mut agent = site.start_agent_at(8093, &flags);
    agent.until("/readyz", 200);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| Stream::open(site)).collect();

    // A broken file is said, and costs no stream.
    put("\n");
    until_logged(&agent, "is empty");
    streams.iter_mut().for_each(Stream::exchange);

    // The new one is shown with the next connection.
    cluster.api.issue("new", AGENT, AUDIENCE);
    put("new\n");
    reviewed(&cluster.api, "new");
    streams.iter_mut().for_each(Stream::exchange);

    // One that is not good is refused, and costs no stream either.
    put("forged\n");
    reviewed(&cluster.api, "forged");
    until_logged(&agent, "Failed to validate authentication token");
    streams.iter_mut().for_each(Stream::exchange);
    agent.until("/readyz", 200);
    server.reaches(CONNECTED, 1.0);
    server.assert_no_errors();
}

#[test]
fn while_the_api_server_is_away_agents_stay_and_new_ones_wait_for_it() {
    let cluster = Cluster::new();
    cluster.api.issue("good", AGENT, AUDIENCE);
    cluster.api.issue("late", AGENT, AUDIENCE);
    let mut server = cluster.start_server();
    let mut good = cluster.start_agent(8093, "good");
    good.until("/readyz", 200);
    cluster.api.go_away();
    let mut late = cluster.start_agent(8193, "late");
    until_logged(&late, "err:Failed to authenticate request. err:");
    late.until("/readyz", 503);
    good.until("/readyz", 200);
    server.reaches(CONNECTED, 1.0);
    cluster.api.come_back();
    late.until("/readyz", 200);
    server.reaches(CONNECTED, 2.0);
    server.assert_no_errors();
}

#[test]
fn a_server_publishes_its_lease_and_agents_count_leases() {
    let cluster = Cluster::new();
    let site = &cluster.site;
    let lease = [
        "--enable-lease-controller",
        "--server-id=one",
        &cluster.kubeconfig,
    ];
    let mut server = site.start_server(Front::ConnectUnix, &lease);
    let published = cluster.api.until("the server's Lease", |state| {
        let lease = state.lease("kube-system", "konnectivity-proxy-server-one");
        lease.cloned()
    });
    assert_eq!(published["spec"]["holderIdentity"], "one");
    assert_eq!(published["spec"]["leaseDurationSeconds"], 30);
    let mut agent = site.start_agent(&["--count-server-leases", &cluster.kubeconfig]);
    agent.until("/readyz", 200);
    agent.reaches(KNOWN, 1.0);
    // Another server, which writes its Lease as the reference does.
    let name = "konnectivity-proxy-server-two";
    let labels: Value = published["metadata"]["labels"].clone();
    let spec = json!({"holderIdentity": "two", "leaseDurationSeconds": 30, "renewTime": "2100-01-01T00:00:00.000000Z"});
    cluster.api.put_lease("kube-system", name, labels, spec);
    agent.reaches(KNOWN, 2.0);
    cluster.api.delete_lease("kube-system", name);
    agent.reaches(KNOWN, 1.0);
    // The last number stands while nobody can be asked.
    cluster.api.go_away();
    until_logged(&agent, "servers' Leases can't be counted");
    agent.reaches(KNOWN, 1.0);
    cluster.api.come_back();
    until_logged(&agent, "servers' Leases can be counted again");
    server.terminate();
    assert!(server.until_ended().success());
    server.assert_no_errors();
    agent.assert_no_errors();
    assert_eq!(cluster.api.look(|state| state.leases().len()), 0);
}

/// The reference's waits for the first list before it does anything.
#[test]
fn an_agent_serves_before_it_can_count() {
    let cluster = Cluster::new();
    let labels = json!({"k8s-app": "konnectivity-server"});
    for name in ["one", "two"] {
        let spec = json!({"leaseDurationSeconds": 30, "renewTime": "2100-01-01T00:00:00.000000Z"});
        cluster
            .api
            .put_lease("kube-system", name, labels.clone(), spec);
    }
    cluster.api.go_away();
    let _server = cluster.site.start_server(Front::ConnectUnix, &[]);
    let flags = ["--count-server-leases", &cluster.kubeconfig];
    let mut agent = cluster.site.start_agent(&flags);
    agent.until("/readyz", 200);
    agent.reaches(KNOWN, 1.0);
    cluster.api.come_back();
    agent.reaches(KNOWN, 2.0);
}

/// What a program says on standard error that can't start, and has to fail for that.
fn failure(program: &str, flags: &[&str]) -> String {
    let ended = Command::new(program)
        .args(flags)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("KUBERNETES_SERVICE_PORT")
        .output()
        .unwrap();
    let text = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{text}");
    text
}

#[test]
fn a_daemon_that_finds_no_api_server_to_ask_does_not_start() {
    let site = Site::new();
    let server = |more: &[&str]| {
        let socket = format!("--uds-name={}", site.socket().display());
        let mut flags = vec![
            &*socket,
            "--server-id=one",
            "--server-port=0",
            "--cluster-cert=/dev/null",
            "--cluster-key=/dev/null",
            "--enable-lease-controller",
        ];
        flags.extend(more);
        let text = failure(env!("CARGO_BIN_EXE_proxy-server"), &flags);
        assert!(!site.socket().exists());
        text
    };
    let text = server(&[]);
    let nothing = "Error: failed to load kubernetes client config: invalid configuration: no configuration has been \
                   provided, try setting KUBERNETES_MASTER environment variable\n";
    assert!(text.contains(nothing), "{text}");
    let text = server(&["--kubeconfig=/dev/null"]);
    let useless = "Error: failed to load kubernetes client config: ";
    assert!(text.contains(useless), "{text}");
    if cfg!(feature = "smol") {
        let text = server(&["--runtime=smol"]);
        let tokio = "--enable-lease-controller needs --runtime=tokio";
        assert!(text.contains(tokio), "{text}");
    }
    let authority = format!("--ca-cert={}", site.file("cluster-ca.crt").display());
    let flags = [&*authority, "--count-server-leases"];
    let text = failure(env!("CARGO_BIN_EXE_proxy-agent"), &flags);
    let outside = "Error: failed to run proxy connection with failed to load in cluster kubernetes client config: unable \
                   to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined\n";
    assert!(text.contains(outside), "{text}");
}
