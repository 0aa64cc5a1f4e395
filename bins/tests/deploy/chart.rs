//! The Helm chart, rendered by Helm.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dialback_bins::flags::{AgentOptions, ServerOptions};

use crate::files::{documents, root};
use crate::kubernetes;
use crate::tools::{interop_tool, run};
use crate::workloads::{Program, Set, Workload};

fn chart() -> PathBuf {
    root().join("deploy/helm/dialback")
}

/// For which Kubernetes: the one whose types are looked at. Helm's own guess depends on how it was built.
const KUBERNETES: &str = "--kube-version=1.37.0";

fn helm() -> Option<OsString> {
    interop_tool("helm")
}

/// Renders the chart as a release in kube-system; `Err` has what Helm says.
fn render(helm: &OsString, arguments: &[&str]) -> Result<Set, String> {
    let manifest = run(Command::new(helm)
        .args(["template", "release", "--namespace=kube-system", KUBERNETES])
        .arg(chart())
        .args(arguments))?;
    Ok(Set::read(&documents(&manifest)))
}

/// Files with values, each a way to use the chart.
fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(chart().join("ci")).unwrap();
    let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() > 3);
    files
}

fn values(file: &Path) -> String {
    format!("--values={}", file.display())
}

#[test]
fn helm_finds_nothing_to_complain_of() {
    let Some(helm) = helm() else { return };
    for file in examples() {
        let linted = run(Command::new(&helm)
            .args(["lint", "--strict", "--quiet", KUBERNETES])
            .arg(chart())
            .arg(values(&file)));
        assert_eq!(linted.map(|said| said.trim().to_owned()), Ok(String::new()));
    }
}

#[test]
fn what_is_rendered_is_known_to_kubernetes_and_its_flags_to_the_programs() {
    let Some(helm) = helm() else { return };
    for file in examples() {
        let set = render(&helm, &[&values(&file)]).unwrap();
        assert!(!set.check().is_empty(), "{}", file.display());
    }
}

fn agent(set: &Set) -> AgentOptions {
    let mut programs = set.check().into_iter();
    let found = programs.find_map(|program| match program {
        Program::Agent(options) => Some(*options),
        Program::Server(_) | Program::Tool(_) => None,
    });
    found.unwrap()
}

fn server(set: &Set) -> ServerOptions {
    let mut programs = set.check().into_iter();
    let found = programs.find_map(|program| match program {
        Program::Server(options) => Some(*options),
        Program::Agent(_) | Program::Tool(_) => None,
    });
    found.unwrap()
}

fn workload<'a>(set: &'a Set, name: &str) -> &'a Workload {
    let mut workloads = set.workloads.iter();
    workloads.find(|workload| workload.name == name).unwrap()
}

/// Where the two run, and with how much, is the same.
fn assert_same_place(ours: &Workload, manifest: &Workload) {
    let (ours, manifest) = (&ours.spec, &manifest.spec);
    assert_eq!(ours.host_network, manifest.host_network);
    assert_eq!(ours.tolerations, manifest.tolerations);
    assert_eq!(ours.priority_class_name, manifest.priority_class_name);
    assert_eq!(
        ours.termination_grace_period_seconds,
        manifest.termination_grace_period_seconds
    );
    let (ours, manifest) = (&ours.containers[0], &manifest.containers[0]);
    assert_eq!(ours.name, manifest.name);
    assert_eq!(ours.command, manifest.command);
    assert_eq!(ours.resources, manifest.resources);
}

#[test]
fn agents_are_those_of_the_manifests() {
    let Some(helm) = helm() else { return };
    for (kind, file) in [
        ("DaemonSet", "agent-daemonset.yaml"),
        ("Deployment", "agent-deployment.yaml"),
    ] {
        let manifest = kubernetes::set(file);
        let kind = format!("--set=agent.kind={kind}");
        let hosts = "--set=agent.servers.hosts={konnectivity.example}";
        let set = render(&helm, &[hosts, &kind]).unwrap();
        let (ours, theirs) = (agent(&set), agent(&manifest));
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
        let name = "konnectivity-agent";
        let (ours, theirs) = (workload(&set, name), workload(&manifest, name));
        assert_eq!(ours.kind, theirs.kind);
        assert_eq!(ours.spec.node_selector, theirs.spec.node_selector);
        assert_same_place(ours, theirs);
    }
}

/// But for whom it asks the Kubernetes API as: the chart's servers have a service account, static pods can't.
#[test]
fn a_server_beside_kube_apiserver_is_that_of_the_manifests() {
    let Some(helm) = helm() else { return };
    let pair = values(&chart().join("ci/pair-values.yaml"));
    let set = render(&helm, &[&pair]).unwrap();
    let manifest = kubernetes::set("agent-daemonset.yaml");
    let (ours, mut theirs) = (server(&set), server(&manifest));
    theirs.kubernetes = ours.kubernetes.clone();
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    let name = "konnectivity-server";
    assert_same_place(workload(&set, name), workload(&manifest, name));
}

/// `helm test` runs the doctor, which takes its arguments: without servers it fails, but not as one misused does.
#[test]
fn the_test_of_a_release_asks_each_server() {
    let Some(helm) = helm() else { return };
    let servers = "--set=agent.servers.hosts={127.0.0.1,127.0.0.2},agent.servers.port=1";
    let set = render(&helm, &[servers]).unwrap();
    let mut tests = 0;
    for program in set.check() {
        let Program::Tool(line) = program else {
            continue;
        };
        let output = Command::new(env!("CARGO_BIN_EXE_dialback"))
            .args(&line)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{line:?}: {said}");
        let said = String::from_utf8(output.stdout).unwrap();
        for host in ["127.0.0.1:1", "127.0.0.2:1"] {
            assert!(said.contains(host), "{host} is not in {said}");
        }
        tests += 1;
    }
    assert_eq!(tests, 1);
}

#[test]
fn values_that_make_no_sense_are_refused_with_the_reason() {
    let Some(helm) = helm() else { return };
    let hosts = "agent.servers.hosts={konnectivity.example}";
    let server = "server.enabled=true,server.kind=Deployment";
    for (values, reason) in [
        ("", "agent.servers.hosts: name the servers"),
        (&format!("{hosts},agent.kindd=DaemonSet"), "kindd"),
        (&format!("{hosts},agent.kind=ReplicaSet"), "kind"),
        (&format!("{hosts},agent.ports.health=0"), "health"),
        (&format!("{hosts},agent.drainTimeout=75"), "drainTimeout"),
        (&format!("{hosts},image.digest=sha256:1"), "digest"),
        (
            &format!("{hosts},{server}"),
            "server.deployment.frontendSecretName",
        ),
        (
            &format!("{hosts},{server},server.deployment.frontendSecretName=a"),
            "server.agents.certificateSecretName",
        ),
    ] {
        let said = render(&helm, &[&format!("--set={values}")]).unwrap_err();
        assert!(said.contains(reason), "{values}: {said}");
    }
}
