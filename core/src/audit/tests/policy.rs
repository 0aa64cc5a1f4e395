use super::*;

const HEAD: &str = "apiVersion: dialback/v1\nkind: AuditPolicy\n";

fn policy(rules: &str) -> AuditPolicy {
    AuditPolicy::parse(&format!("{HEAD}{rules}")).expect("it is a good policy")
}

#[test]
fn the_first_rule_that_is_for_an_event_decides() {
    let policy = policy(
        "rules:
- {events: [stream.opened], frontends: ['kube-*'], destinations: ['*.blue.svc:443'], record: none}
- {events: ['stream.*'], omit: [frontend, bytes.toEndpoint]}
- {events: ['agent.s*', agent.resumed], record: none}",
    );
    assert_eq!(policy.omitted(&opened()), None);
    let omitted = policy
        .omitted(&closed(CloseReason::EndpointClosed))
        .expect("it is recorded");
    for (field, is_omitted) in [
        (Field::FrontendName, true),
        (Field::FrontendProcessId, true),
        (Field::BytesToEndpoint, true),
        (Field::BytesToFrontend, false),
        (Field::AgentName, false),
    ] {
        assert_eq!(omitted.contains(field), is_omitted, "{field}");
    }
    assert_eq!(policy.omitted(&agent(AgentChange::Suspended)), None);
    let whole = Some(FieldSet::EMPTY);
    assert_eq!(policy.omitted(&agent(AgentChange::Connected)), whole);
    assert_eq!(policy.omitted(&Event::Stopped), whole);
}

#[test]
fn a_rule_looks_at_tenants_and_agents_too() {
    for (rule, recorded) in [
        ("{tenants: [blue], record: none}", false),
        ("{tenants: [red], record: none}", true),
        ("{agents: ['agent-*'], record: none}", false),
        ("{agents: [other], record: none}", true),
        ("{frontends: [other], record: none}", true),
        ("{record: none}", false),
    ] {
        let policy = policy(&format!("rules:\n- {rule}"));
        assert_eq!(policy.omitted(&opened()).is_some(), recorded, "{rule}");
    }
    let of_frontends = policy("rules:\n- {frontends: ['*'], record: none}");
    assert!(
        of_frontends
            .omitted(&agent(AgentChange::Connected))
            .is_some()
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (rules, told) in [
        (
            "rules: [{events: [stream.opend]}]",
            "\"stream.opend\" is no event of agents or streams (line 3)",
        ),
        (
            "rules: [{events: ['audit.*']}]",
            "is no event of agents or streams",
        ),
        (
            "rules: [{omit: [frontend.nam]}]",
            "\"frontend.nam\" is no field of a record",
        ),
        ("rules: [{omit: [sequence]}]", "sequence is in every record"),
        ("rules: [{record: some}]", "\"some\" is to be all or none"),
        (
            "rules: [{record: none, omit: [frontend]}]",
            "nothing to leave out",
        ),
        (
            "rules: [{event: [stream.opened]}]",
            "unknown field \"rules[0].event\" (line 3)",
        ),
        ("rules: {}", "field \"rules\" is to be a list"),
    ] {
        let error = AuditPolicy::parse(&format!("{HEAD}{rules}")).expect_err("it is wrong");
        assert!(error.to_string().contains(told), "{rules}: {error}");
    }
    let error = AuditPolicy::parse("kind: Policy").expect_err("it is another kind");
    assert!(
        error.to_string().contains("is to be AuditPolicy"),
        "{error}"
    );
}
