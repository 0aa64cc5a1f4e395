//! What is in `deploy/`: Kubernetes knows it, our programs take it, and what it looks at exists.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use dialback_bins::flags::{agent_flags, server_flags};
use dialback_core::connectivity::ConnectivityConfig;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;
use support::pair::{Front, Pair};
use support::stream::Stream;

fn read(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document of the manifests.
fn manifests() -> Vec<Value> {
    let files = [
        "server.yaml",
        "rbac.yaml",
        "agent-daemonset.yaml",
        "agent-deployment.yaml",
        "network-policy.yaml",
    ];
    let mut documents = Vec::new();
    for file in files {
        for document in read(&format!("kubernetes/{file}")).split("\n---\n") {
            documents.push(serde_saphyr::from_str(document).unwrap());
        }
    }
    documents
}

/// Reads a document as a type of Kubernetes and writes it again: what the type does not know is missing then.
fn known<T>(document: &Value) -> T
where
    T: DeserializeOwned + Serialize,
{
    let object: T = serde_json::from_value(document.clone()).unwrap();
    let written = serde_json::to_value(&object).unwrap();
    contains(&written, document, "");
    object
}

fn contains(written: &Value, document: &Value, at: &str) {
    match (written, document) {
        (Value::Object(written), Value::Object(document)) => {
            for (key, value) in document {
                let at = format!("{at}.{key}");
                let same = written
                    .get(key)
                    .unwrap_or_else(|| panic!("{at} is unknown"));
                contains(same, value, &at);
            }
        }
        (Value::Array(written), Value::Array(document)) => {
            assert_eq!(written.len(), document.len(), "{at}");
            for (written, document) in written.iter().zip(document) {
                contains(written, document, at);
            }
        }
        _ => assert_eq!(written, document, "{at}"),
    }
}

/// The containers of all manifests.
fn containers() -> Vec<Container> {
    let mut specs: Vec<PodSpec> = Vec::new();
    for document in manifests() {
        match document["kind"].as_str().unwrap() {
            "Pod" => specs.push(known::<Pod>(&document).spec.unwrap()),
            "DaemonSet" => {
                let spec = known::<DaemonSet>(&document).spec;
                specs.push(spec.template.spec.unwrap());
            }
            "Deployment" => {
                let spec = known::<Deployment>(&document).spec;
                specs.push(spec.template.spec.unwrap());
            }
            "ServiceAccount" => drop(known::<ServiceAccount>(&document)),
            "ClusterRoleBinding" => drop(known::<ClusterRoleBinding>(&document)),
            "Role" => drop(known::<Role>(&document)),
            "RoleBinding" => drop(known::<RoleBinding>(&document)),
            "NetworkPolicy" => drop(known::<NetworkPolicy>(&document)),
            "PodDisruptionBudget" => drop(known::<PodDisruptionBudget>(&document)),
            other => panic!("nobody checks a {other}"),
        }
    }
    specs.into_iter().flat_map(|spec| spec.containers).collect()
}

/// A flag as it reaches the program: variables have values, and files exist.
fn given(flag: &str) -> String {
    let flag = flag
        .replace("$(NODE_NAME)", "node-1")
        .replace("$(POD_NAME)", "pod-1");
    let flag = flag.replace("$(HOST_IP)", "10.0.0.1");
    assert!(!flag.contains("$("), "{flag}");
    match flag.split_once("=/") {
        Some((name, _)) if name != "--uds-name" => format!("{name}=/dev/null"),
        Some(_) | None => flag,
    }
}

#[test]
fn manifests_are_known_to_kubernetes_and_their_flags_to_the_programs() {
    let mut programs = BTreeSet::new();
    for container in containers() {
        let line = container.args.unwrap();
        let line = line.iter().map(|flag| given(flag).into());
        let program = container.command.unwrap().concat();
        match program.as_str() {
            "/proxy-server" => {
                let (line, _) = server_flags().parse(line).unwrap();
                line.daemon.validate(line.runtime).unwrap();
            }
            "/proxy-agent" => {
                let (line, _) = agent_flags().parse(line).unwrap();
                line.daemon.validate(line.runtime).unwrap();
            }
            other => panic!("{other}"),
        }
        for variable in container.env.unwrap_or_default() {
            assert!(variable.value_from.is_some(), "{}", variable.name);
        }
        programs.insert(program);
    }
    assert_eq!(programs.len(), 2);
}

#[test]
fn the_egress_selector_is_one_that_kube_apiserver_takes() {
    let configuration =
        ConnectivityConfig::parse(&read("kubernetes/egress-selector.yaml"), |_| true).unwrap();
    assert_eq!(configuration.services().len(), 3);
}

/// The words of an expression that are names of our metrics, without the suffixes of histograms.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = ["konnectivity_network_proxy_", "dialback_", "process_"];
    words
        .filter(move |word| ours.iter().any(|prefix| word.starts_with(prefix)))
        .map(|word| word.trim_end_matches("_bucket").trim_end_matches("_count"))
}

#[test]
fn alerts_and_the_dashboard_look_at_metrics_that_exist() {
    let alerts: Value = serde_saphyr::from_str(&read("prometheus/alerts.yaml")).unwrap();
    let dashboard: Value = serde_json::from_str(&read("grafana/dialback.json")).unwrap();
    let mut expressions = Vec::new();
    for rule in alerts["groups"][0]["rules"].as_array().unwrap() {
        assert!(rule["annotations"]["summary"].is_string(), "{rule}");
        expressions.push(rule["expr"].as_str().unwrap());
    }
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            expressions.push(target["expr"].as_str().unwrap());
        }
    }
    assert!(expressions.len() > 20);

    let mut pair = Pair::start(Front::ConnectUnix, &[]);
    drop(Stream::open(&pair.site));
    pair.until_at_rest();
    let texts = [&mut pair.server, &mut pair.agent]
        .map(|daemon| daemon.expect("/metrics", 200).unwrap())
        .concat();
    // What appears only when it goes wrong.
    let seldom = [
        "konnectivity_network_proxy_server_dial_failure",
        "konnectivity_network_proxy_server_full_receive_channels",
    ];
    for name in expressions.into_iter().flat_map(metrics) {
        let shown = texts.contains(&format!("# TYPE {name} "))
            || texts.contains(&format!("# TYPE {name}_count "));
        assert!(shown || seldom.contains(&name), "{name} does not exist");
    }
    pair.finish();
}

/// The flags of a unit are the operator's; its program, reload and notification are ours.
#[test]
fn units_start_our_programs() {
    for program in ["proxy-server", "proxy-agent"] {
        let unit = read(&format!("systemd/dialback-{program}.service"));
        for line in [
            "Type=notify".to_owned(),
            format!("EnvironmentFile=/etc/dialback/{program}.env"),
            format!("ExecStart=/usr/local/bin/{program} $FLAGS"),
            "ExecReload=/bin/kill -HUP $MAINPID".to_owned(),
        ] {
            assert!(
                unit.lines().any(|present| present == line),
                "{program}: {line}"
            );
        }
    }
}
