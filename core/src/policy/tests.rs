#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use crate::wire::{AgentMetadata, Identifiers};

mod any_text;
mod read;

const HEAD: &str = "apiVersion: dialback/v1\nkind: Policy\n";

fn policy(rest: &str) -> Policy {
    Policy::parse(&format!("{HEAD}{rest}")).unwrap()
}

fn of(organization: &str) -> Identity {
    Identity {
        organizations: vec![organization.to_owned()],
        ..Identity::default()
    }
}

fn refusal(policy: &Policy, frontend: &Identity, to: &str) -> Option<String> {
    let dial = policy.dial(frontend, &Destination::parse(to));
    dial.refusal().map(|denied| denied.to_string())
}

#[test]
fn the_first_rule_that_is_for_a_dial_decides() {
    let policy = policy(
        "
rules:
- {name: one, action: allow, from: [{organization: ops}], to: [{cidr: 10.0.0.0/8}]}
- {name: two, action: deny, to: [{cidr: 10.0.0.0/8}]}
",
    );
    assert_eq!(refusal(&policy, &of("ops"), "10.0.0.1:1"), None);
    let denied = Some("rule \"two\" denies it".to_owned());
    assert_eq!(refusal(&policy, &of("dev"), "10.0.0.1:1"), denied);
    assert_eq!(refusal(&policy, &of("dev"), "[::ffff:10.0.0.1]:1"), denied);
    assert_eq!(refusal(&policy, &of("dev"), "11.0.0.1:1"), None);
}

#[test]
fn a_name_may_be_any_address_and_a_missing_port_any_port() {
    let policy = policy(
        "
rules:
- {name: nodes, action: allow, to: [{host: '*.nodes', ports: [10250]}]}
- {name: none, action: deny, to: [{cidr: 169.254.0.0/16}, {ports: [22]}]}
",
    );
    for (to, denied) in [
        ("a.nodes:10250", false),
        ("A.Nodes.:10250", false),
        ("a.nodes:22", true),
        ("a.nodes", true),
        ("b.example:443", true),
        ("0xa9fea9fe:80", true),
        ("[64:ff9b::a9fe:a9fe]:80", true),
        ("[::ffff:169.254.169.254%1]:80", true),
        ("10.0.0.1:443", false),
        ("10.0.0.1:22", true),
        ("10.0.0.1:ssh", true),
        ("10.0.0.1", true),
        ("", true),
    ] {
        let refused = refusal(&policy, &Identity::default(), to);
        assert_eq!(refused.is_some(), denied, "{to}: {refused:?}");
    }
}

#[test]
fn an_agent_is_judged_by_the_first_rule_that_is_for_it() {
    let policy = policy(
        "
default: deny
rules:
- {name: quarantine, action: deny, agents: [{organization: old}]}
- {name: zone, action: route, to: [{host: a.example}], via: [{labels: 'zone=a'}, {organization: zone-a}]}
- {name: all, action: allow}
",
    );
    let claimed = AgentMetadata::default();
    let judge = |agent: &Identity, to: &str| {
        let dial = policy.dial(&of("any"), &Destination::parse(to));
        assert_eq!(dial.refusal(), None);
        assert!(!dial.any_agent());
        let agent = Agent {
            identity: agent,
            claimed: &claimed,
            tenant: None,
        };
        dial.judge(agent).map_err(|denied| denied.to_string())
    };
    assert_eq!(judge(&of("zone-a"), "a.example:1"), Ok(()));
    assert_eq!(
        judge(&of("zone-b"), "a.example:1").unwrap_err(),
        "rule \"zone\" routes it to agents that are not connected"
    );
    assert_eq!(judge(&of("zone-b"), "b.example:1"), Ok(()));
    assert_eq!(
        judge(&of("old"), "b.example:1").unwrap_err(),
        "rule \"quarantine\" denies it"
    );
}

#[test]
fn tenants_meet_nobody_else() {
    let policy = policy(
        "
tenants:
- {name: blue, frontends: [{organization: blue}], agents: [{organization: blue}]}
- {name: red, frontends: [{organization: red}], agents: [{organization: red}]}
",
    );
    let claimed = AgentMetadata::default();
    let names = ["blue", "red", "green"];
    for frontend in names {
        for agent in names {
            let identity = of(agent);
            let dial_of = of(frontend);
            let dial = policy.dial(&dial_of, &Destination::parse("a:1"));
            let judged = dial.judge(Agent {
                identity: &identity,
                claimed: &claimed,
                tenant: policy.tenant_of_agent(&identity),
            });
            assert_eq!(judged.is_ok(), frontend == agent, "{frontend} {agent}");
        }
    }
}

#[test]
fn agents_keep_what_they_may_claim() {
    let policy = policy(
        "
claims:
- name: nodes
  agents: [{organization: nodes}]
  agentIDs: [node-*]
  hosts: ['*.nodes']
  labels: ['zone:*']
  cidrs: [10.0.0.0/8]
- {name: strict, otherwise: refuse}
",
    );
    let claimed = AgentMetadata {
        agent_id: "node-1".to_owned(),
        identifiers: Identifiers::parse(
            b"host=a.nodes&host=b.example&host=11.0.0.1&ipv4=10.0.0.1&ipv6=::ffff:10.0.0.2&cidr=10.1.0.0/16&cidr=0.0.0.0/0&label=zone:a&label=tier:gold&default-route=true",
        )
        .unwrap(),
    };
    let admitted = policy.admit(&of("nodes"), &claimed).unwrap();
    assert_eq!(
        admitted.dropped,
        [
            "host=b.example",
            "host=11.0.0.1",
            "cidr=0.0.0.0/0",
            "label=tier:gold",
            "default-route=true"
        ]
    );
    let kept: Vec<_> = admitted.metadata.identifiers.destinations().collect();
    assert_eq!(kept, ["10.0.0.1", "::ffff:10.0.0.2", "a.nodes"]);

    let other = AgentMetadata {
        agent_id: "other".to_owned(),
        ..claimed.clone()
    };
    assert_eq!(
        policy.admit(&of("nodes"), &other).unwrap_err().to_string(),
        "claims \"nodes\" do not allow the agent id \"other\""
    );
    assert!(policy.admit(&of("else"), &claimed).is_err());
    assert!(policy.admit(&of("else"), &AgentMetadata::default()).is_ok());
}
