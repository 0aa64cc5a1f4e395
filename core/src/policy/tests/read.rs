//! What a policy file may hold.

use super::*;

fn refused(text: &str) -> String {
    Policy::parse(text).unwrap_err().to_string()
}

#[test]
fn a_file_says_what_it_is() {
    assert_eq!(
        refused("apiVersion: dialback/v2\nkind: Policy\n"),
        "field \"apiVersion\": is to be dialback/v1 (line 1)"
    );
    assert!(refused("").contains("field \"kind\": is to be Policy"));
    assert_eq!(policy("").mode(), Mode::Enforce);
    assert_eq!(policy("mode: audit").mode(), Mode::Audit);
}

#[test]
fn all_that_is_wrong_is_told_with_line_and_path() {
    let text = format!(
        "{HEAD}mode: loud
rules:
- name: a
  action: alow
  too: []
  to:
  - {{cidr: 10.0.0.1/8}}
  - {{host: 10.0.*}}
  - {{ports: [9-1, 70000]}}
  tenants: [blue]
- action: route
"
    );
    assert_eq!(
        refused(&text).split("; ").collect::<Vec<_>>(),
        [
            "field \"mode\": \"loud\" is to be enforce or audit (line 3)",
            "field \"rules[0].action\": \"alow\" is to be allow, deny or route (line 6)",
            "field \"rules[0].tenants[0]\": there is no tenant \"blue\" (line 12)",
            "field \"rules[0].to[0].cidr\": \"10.0.0.1/8\" has bits behind its prefix: did you mean 10.0.0.0/8? (line 9)",
            "field \"rules[0].to[0]\": says nothing of which destinations are meant (line 9)",
            "field \"rules[0].to[1].host\": \"10.0.*\" is no pattern for names",
            "for addresses there are networks such as 10.0.0.0/8 (line 10)",
            "field \"rules[0].to[1]\": says nothing of which destinations are meant (line 10)",
            "field \"rules[0].to[2].ports[0]\": \"9-1\" is no port, nor a range of ports such as 8000-8080 (line 11)",
            "field \"rules[0].to[2].ports[1]\": \"70000\" is no port, nor a range of ports such as 8000-8080 (line 11)",
            "field \"rules[0].to[2]\": says nothing of which destinations are meant (line 11)",
            "unknown field \"rules[0].too\" (line 7)",
            "field \"rules[1].name\": is needed (line 13)",
            "field \"rules[1].via\": is needed to route (line 13)",
        ]
    );
}

#[test]
fn what_would_be_for_everybody_by_mistake_is_refused() {
    for (rule, why) in [
        ("from: []", "names nothing"),
        ("from: [{}]", "says nothing of who is meant"),
        ("to: [{}]", "says nothing of which destinations"),
        ("agents:", "names nothing"),
        ("from: [{commonName: ''}]", "a pattern is empty"),
        (
            "from: [{spiffe: 'spiffe://*/blue/*'}]",
            "a star in its trust domain",
        ),
        ("from: [{serviceAccount: agent}]", "NAMESPACE:NAME"),
        ("via: [{organization: a}]", "is for the action route alone"),
        ("to: [{host: a, cidr: ::/0}]", "both a host and a cidr"),
    ] {
        let text = format!("{HEAD}rules:\n- name: a\n  action: allow\n  {rule}\n");
        assert!(refused(&text).contains(why), "{}", refused(&text));
    }
    let twice = "rules:\n- {name: a, action: deny}\n- {name: a, action: allow}\n";
    assert!(refused(&format!("{HEAD}{twice}")).contains("the name \"a\" is given twice"));
}
