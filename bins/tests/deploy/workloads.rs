//! Sets of manifests that are applied together: Kubernetes knows every field, what names something names what is there,
//! our programs take their flags, and nothing may do more than it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use dialback_bins::flags::{AgentOptions, ServerOptions, agent_flags, server_flags};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{
    Container, Pod, PodSpec, PodTemplateSpec, Probe, Service, ServiceAccount, Volume,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use serde_json::Value;

type Labels = BTreeMap<String, String>;

/// What a container's flags mean to its program.
#[derive(Debug)]
pub(crate) enum Program {
    Agent(Box<AgentOptions>),
    Server(Box<ServerOptions>),
    /// `dialback`, with these arguments.
    Tool(Vec<String>),
}

/// The pods of a workload.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) kind: String,
    pub(crate) name: String,
    namespace: Option<String>,
    labels: Labels,
    pub(crate) spec: PodSpec,
}

/// Documents that are applied together.
#[derive(Debug, Default)]
pub(crate) struct Set {
    pub(crate) workloads: Vec<Workload>,
    accounts: Vec<ObjectMeta>,
    roles: Vec<ObjectMeta>,
    bindings: Vec<(RoleRef, Vec<Subject>)>,
    services: Vec<Service>,
    /// Who they select, and what for.
    selectors: Vec<(String, LabelSelector)>,
}

impl Set {
    /// Reads documents each of which is of a kind that is known here.
    pub(crate) fn read(documents: &[Value]) -> Self {
        let mut set = Self::default();
        for document in documents {
            allowed(document, "");
            let kind = document["kind"].as_str().unwrap();
            match kind {
                "Pod" => {
                    let Pod { metadata, spec, .. } = typed(document);
                    let template = PodTemplateSpec {
                        metadata: Some(metadata.clone()),
                        spec,
                    };
                    set.workload(kind, metadata, template, None);
                }
                "DaemonSet" => {
                    let DaemonSet { metadata, spec, .. } = typed(document);
                    set.workload(kind, metadata, spec.template, Some(spec.selector));
                }
                "Deployment" => {
                    let Deployment { metadata, spec, .. } = typed(document);
                    set.workload(kind, metadata, spec.template, Some(spec.selector));
                }
                "ServiceAccount" => set
                    .accounts
                    .push(typed::<ServiceAccount>(document).metadata),
                "Role" => set.roles.push(typed::<Role>(document).metadata),
                "RoleBinding" => {
                    let binding: RoleBinding = typed(document);
                    set.bindings
                        .push((binding.role_ref, binding.subjects.unwrap()));
                }
                "ClusterRoleBinding" => {
                    let binding: ClusterRoleBinding = typed(document);
                    set.bindings
                        .push((binding.role_ref, binding.subjects.unwrap()));
                }
                "Service" => set.services.push(typed(document)),
                "NetworkPolicy" => {
                    let policy: NetworkPolicy = typed(document);
                    let selector = policy.spec.unwrap().pod_selector.unwrap();
                    set.selectors.push((kind.into(), selector));
                }
                "PodDisruptionBudget" => {
                    let budget: PodDisruptionBudget = typed(document);
                    let selector = budget.spec.unwrap().selector.unwrap();
                    set.selectors.push((kind.into(), selector));
                }
                "PodMonitor" => set.pod_monitor(document),
                other => panic!("nobody checks a {other}"),
            }
        }
        set
    }

    fn workload(
        &mut self,
        kind: &str,
        metadata: ObjectMeta,
        template: PodTemplateSpec,
        selector: Option<LabelSelector>,
    ) {
        let labels = template.metadata.unwrap().labels.unwrap();
        let name = metadata.name.unwrap();
        if let Some(selector) = selector {
            assert!(selects(&selector, &labels), "{kind} {name}: {selector:?}");
        }
        self.workloads.push(Workload {
            kind: kind.into(),
            name,
            namespace: metadata.namespace,
            labels,
            spec: template.spec.unwrap(),
        });
    }

    /// Prometheus Operator's `monitoring.coreos.com/v1`, as far as it is used here.
    fn pod_monitor(&mut self, document: &Value) {
        assert_eq!(document["apiVersion"], "monitoring.coreos.com/v1");
        let spec = document["spec"].as_object().unwrap();
        for key in spec.keys() {
            assert!(["selector", "podMetricsEndpoints"].contains(&key.as_str()));
        }
        for endpoint in spec["podMetricsEndpoints"].as_array().unwrap() {
            for key in endpoint.as_object().unwrap().keys() {
                assert!(["port", "path", "interval"].contains(&key.as_str()));
            }
            assert_eq!(endpoint["port"], "health");
            assert_eq!(endpoint["path"], "/metrics");
        }
        let selector = serde_json::from_value(spec["selector"].clone()).unwrap();
        self.selectors.push(("PodMonitor".into(), selector));
    }

    /// What the set's parts say of each other is so; returns the programs that it starts.
    pub(crate) fn check(&self) -> Vec<Program> {
        for (what, selector) in &self.selectors {
            let selected = self
                .workloads
                .iter()
                .filter(|workload| selects(selector, &workload.labels));
            assert_eq!(selected.count(), 1, "{what}: {selector:?}");
        }
        for service in &self.services {
            self.check_service(service);
        }
        for (role, subjects) in &self.bindings {
            self.check_binding(role, subjects);
        }
        let workloads = self.workloads.iter();
        workloads
            .flat_map(|workload| self.check_workload(workload))
            .collect()
    }

    fn check_service(&self, service: &Service) {
        let spec = service.spec.as_ref().unwrap();
        let selector = LabelSelector {
            match_labels: spec.selector.clone(),
            match_expressions: None,
        };
        let mut selected = self.workloads.iter();
        let workload = selected
            .find(|workload| selects(&selector, &workload.labels))
            .unwrap();
        for port in spec.ports.as_ref().unwrap() {
            let Some(IntOrString::String(name)) = &port.target_port else {
                panic!("{port:?}");
            };
            let number = port_of(&workload.spec.containers[0], name);
            assert_eq!(port.port, number, "{name}");
        }
    }

    fn check_binding(&self, role: &RoleRef, subjects: &[Subject]) {
        let named = |objects: &[ObjectMeta], name: &str| {
            objects
                .iter()
                .any(|object| object.name.as_deref() == Some(name))
        };
        match role.kind.as_str() {
            "Role" => assert!(named(&self.roles, &role.name), "{role:?}"),
            _ => assert_eq!(role.name, "system:auth-delegator"),
        }
        for subject in subjects {
            if subject.kind == "ServiceAccount" {
                assert!(named(&self.accounts, &subject.name), "{subject:?}");
                assert!(subject.namespace.is_some());
            } else {
                assert_eq!(subject.kind, "User");
            }
        }
    }

    fn check_workload(&self, workload: &Workload) -> Vec<Program> {
        let Workload {
            kind, name, spec, ..
        } = workload;
        if let Some(account) = &spec.service_account_name {
            let there = self.accounts.iter().any(|object| {
                object.name.as_ref() == Some(account) && object.namespace == workload.namespace
            });
            assert!(there, "{kind} {name}: service account {account}");
        }
        let volumes: BTreeSet<&str> = volumes(spec).map(|volume| &*volume.name).collect();
        let mut mounted = BTreeSet::new();
        let mut programs = Vec::new();
        for container in &spec.containers {
            let mut paths = BTreeSet::new();
            for mount in container.volume_mounts.iter().flatten() {
                assert!(
                    volumes.contains(&*mount.name),
                    "{name}: volume {}",
                    mount.name
                );
                assert!(
                    paths.insert(&mount.mount_path),
                    "{name}: {}",
                    mount.mount_path
                );
                mounted.insert(&*mount.name);
            }
            confined(spec, container);
            for probe in [&container.liveness_probe, &container.readiness_probe] {
                probe.iter().for_each(|probe| check_probe(probe, container));
            }
            programs.push(program(container, spec));
        }
        assert_eq!(mounted, volumes, "{name}: volumes that nobody mounts");
        programs
    }
}

fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    assert!(selector.match_expressions.is_none());
    let wanted = selector.match_labels.as_ref().unwrap();
    assert!(!wanted.is_empty());
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

fn volumes(spec: &PodSpec) -> impl Iterator<Item = &Volume> {
    spec.volumes.iter().flatten()
}

fn port_of(container: &Container, name: &str) -> i32 {
    let mut ports = container.ports.iter().flatten();
    let port = ports.find(|port| port.name.as_deref() == Some(name));
    port.unwrap_or_else(|| panic!("{}: no port {name}", container.name))
        .container_port
}

fn check_probe(probe: &Probe, container: &Container) {
    let http = probe.http_get.as_ref().unwrap();
    let health = port_of(container, "health");
    match &http.port {
        IntOrString::Int(port) => assert_eq!(*port, health),
        IntOrString::String(name) => assert_eq!(name, "health"),
    }
    assert!(["/healthz", "/readyz"].contains(&http.path.as_deref().unwrap()));
}

/// Whatever Kubernetes can take from a container is taken.
fn confined(spec: &PodSpec, container: &Container) {
    let own = container.security_context.as_ref().unwrap();
    assert_eq!(own.allow_privilege_escalation, Some(false));
    assert_eq!(own.read_only_root_filesystem, Some(true));
    let capabilities = own.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.drop.as_deref(), Some(&["ALL".to_owned()][..]));
    assert!(capabilities.add.is_none() && own.privileged.is_none());
    let pod = spec.security_context.clone().unwrap_or_default();
    let profile = own
        .seccomp_profile
        .as_ref()
        .or(pod.seccomp_profile.as_ref());
    assert_eq!(profile.unwrap().type_, "RuntimeDefault");
    let (user, not_root) = (
        own.run_as_user.or(pod.run_as_user).unwrap(),
        own.run_as_non_root.or(pod.run_as_non_root),
    );
    if user == 0 {
        // Whose files are of the node.
        assert!(volumes(spec).any(|volume| volume.host_path.is_some()));
    } else {
        assert_eq!((user, not_root), (65532, Some(true)));
        assert!(volumes(spec).all(|volume| volume.host_path.is_none()));
    }
    let limits = container.resources.as_ref().unwrap().limits.as_ref();
    assert!(limits.unwrap().contains_key("memory"));
}

/// A flag as it reaches the program: variables have values, and files exist.
fn given(flag: &str, container: &Container) -> String {
    let mut flag = flag.to_owned();
    for variable in container.env.iter().flatten() {
        let value = match variable.name.as_str() {
            "HOST_IP" => "10.0.0.1",
            _ => "one",
        };
        flag = flag.replace(&format!("$({})", variable.name), value);
    }
    assert!(!flag.contains("$("), "{flag}: no such variable");
    let Some((name, path)) = flag.split_once("=/") else {
        return flag;
    };
    let path = format!("/{path}");
    let below = |folder: &str| {
        let rest = path.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut mounts = container.volume_mounts.iter().flatten();
    let there = mounts.any(|mount| below(&mount.mount_path))
        // Where the kubelet mounts the service account.
        || below("/var/run/secrets/kubernetes.io/serviceaccount");
    assert!(there, "{flag}: nothing is mounted there");
    match name {
        "--uds-name" => flag,
        _ => format!("{name}=/dev/null"),
    }
}

/// The program takes the flags, listens where the manifest says and ends before it is killed.
fn program(container: &Container, spec: &PodSpec) -> Program {
    let line: Vec<String> = container
        .args
        .iter()
        .flatten()
        .map(|flag| given(flag, container))
        .collect();
    let health = || u16::try_from(port_of(container, "health")).unwrap();
    let grace = spec.termination_grace_period_seconds.unwrap_or(30);
    match container.command.as_ref().unwrap().concat().as_str() {
        "/proxy-server" => {
            let words = line.into_iter().map(Into::into);
            let (line, _) = server_flags().parse(words).unwrap();
            let options = line.daemon.validate(line.runtime).unwrap().options;
            assert_eq!(options.health.port, health());
            // Beyond the streams, what docs/high-availability.md lists.
            let timeout = options.graceful_shutdown_timeout.as_secs();
            assert!(timeout + 10 <= u64::try_from(grace).unwrap());
            Program::Server(Box::new(options))
        }
        "/proxy-agent" => {
            let words = line.into_iter().map(Into::into);
            let (line, _) = agent_flags().parse(words).unwrap();
            let options = line.daemon.validate(line.runtime).unwrap().options;
            assert_eq!(options.health.port, health());
            let timeout = options.drain_timeout.unwrap().as_secs();
            assert!(timeout < u64::try_from(grace).unwrap());
            if options.leases.is_some() {
                assert_eq!(spec.automount_service_account_token, Some(true));
            }
            Program::Agent(Box::new(options))
        }
        "/dialback" => Program::Tool(line),
        other => panic!("{other}"),
    }
}

/// Reads a document as a type of Kubernetes and writes it again. What the type does not know is missing then; what it
/// needs is there though the document lacks it.
fn typed<T>(document: &Value) -> T
where
    T: DeserializeOwned + Serialize + Debug,
{
    let kind = &document["kind"];
    let object: T = serde_json::from_value(document.clone())
        .unwrap_or_else(|error| panic!("{kind}: {error} in {document:#}"));
    same(&serde_json::to_value(&object).unwrap(), document, "");
    object
}

fn same(written: &Value, document: &Value, at: &str) {
    match (written, document) {
        (Value::Object(written), Value::Object(document)) => {
            for key in written.keys() {
                assert!(document.contains_key(key), "{at}.{key} is missing");
            }
            for (key, value) in document {
                let at = format!("{at}.{key}");
                let written = written.get(key);
                same(
                    written.unwrap_or_else(|| panic!("{at} is unknown, or nothing")),
                    value,
                    &at,
                );
            }
        }
        (Value::Array(written), Value::Array(document)) => {
            assert_eq!(written.len(), document.len(), "{at}");
            for (written, document) in written.iter().zip(document) {
                same(written, document, at);
            }
        }
        _ => assert_eq!(written, document, "{at}"),
    }
}

/// Fields that are strings to the types, of which Kubernetes takes only these.
const CHOICES: &[(&str, &[&str])] = &[
    ("clusterIP", &["None"]),
    (
        "dnsPolicy",
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
    ),
    ("effect", &["NoExecute", "NoSchedule", "PreferNoSchedule"]),
    (
        "fieldPath",
        &["metadata.name", "spec.nodeName", "status.hostIP"],
    ),
    ("hostPath.type", &["Directory", "DirectoryOrCreate", "File"]),
    ("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ("operator", &["Equal", "Exists"]),
    ("policyTypes", &["Egress", "Ingress"]),
    (
        "priorityClassName",
        &["system-cluster-critical", "system-node-critical"],
    ),
    ("protocol", &["TCP"]),
    ("restartPolicy", &["Always", "Never", "OnFailure"]),
    ("seccompProfile.type", &["RuntimeDefault"]),
    ("spec.type", &["ClusterIP", "LoadBalancer", "NodePort"]),
    ("strategy.type", &["Recreate", "RollingUpdate"]),
    ("updateStrategy.type", &["OnDelete", "RollingUpdate"]),
    (
        "verbs",
        &["create", "delete", "get", "list", "update", "watch"],
    ),
    ("whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]),
];

fn allowed(value: &Value, at: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                allowed(value, &format!("{at}.{key}"));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| allowed(item, at)),
        Value::String(text) => {
            for (field, choices) in CHOICES {
                if at.ends_with(&format!(".{field}")) {
                    assert!(choices.contains(&text.as_str()), "{at}: {text}");
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
