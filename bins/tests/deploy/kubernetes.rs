//! The manifests of `deploy/kubernetes/`.

use dialback_core::connectivity::ConnectivityConfig;

use crate::files::{documents, read};
use crate::workloads::{Program, Set};

/// What is applied together: agents are of one kind or the other.
pub(crate) fn set(agents: &str) -> Set {
    let files = ["server.yaml", "rbac.yaml", "network-policy.yaml", agents];
    let manifests = files.map(|file| documents(&read(&format!("kubernetes/{file}"))));
    Set::read(&manifests.concat())
}

#[test]
fn manifests_are_known_to_kubernetes_and_their_flags_to_the_programs() {
    for agents in ["agent-daemonset.yaml", "agent-deployment.yaml"] {
        let programs = set(agents).check();
        let [Program::Server(server), Program::Agent(agent)] = &programs[..] else {
            panic!("{programs:?}");
        };
        // They are for each other.
        assert_eq!(server.agents.address.port, agent.server_port);
    }
}

#[test]
fn the_egress_selector_is_one_that_kube_apiserver_takes() {
    let configuration =
        ConnectivityConfig::parse(&read("kubernetes/egress-selector.yaml"), |_| true).unwrap();
    assert_eq!(configuration.services().len(), 3);
}
