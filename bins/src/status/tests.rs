#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::Mutex;

use dialback_runtime::http::{Answer, Request, Response, Routes};
use dialback_runtime::status::{Program, Status, StatusPage, Totals};

use super::{PAGE, content_security_policy, inside, with_status};

fn status() -> Status {
    Status {
        program: Program::Server,
        version: "1.2.3".to_owned(),
        id: "<script>".to_owned(),
        uptime_seconds: 1.5,
        ready: true,
        draining: false,
        problems: Vec::new(),
        policy_generation: None,

        audit: None,
        totals: Totals::default(),
        limits: Vec::new(),
        peers: Vec::new(),
        truncated: false,
        next: None,
    }
}

fn ask(routes: &impl Routes, path: &str, query: Option<&str>) -> Response {
    let answer = routes.answer(&Request {
        method: "GET",
        path,
        query,
        host: "127.0.0.1:8095",
        body: &[],
    });
    match answer {
        Answer::Now(response) => response,
        Answer::Later(_) => unreachable!("it is there at once"),
    }
}

#[test]
fn without_the_flag_both_paths_stay_what_they_were() {
    let routes = with_status(|_: &Request<'_>| Response::not_found(), false, |_| status());
    for path in ["/", "/api/v1/status"] {
        assert_eq!(ask(&routes, path, None), Response::not_found());
    }
}

#[test]
fn the_part_that_is_asked_for_is_given() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let routes = with_status(|_: &Request<'_>| Response::not_found(), true, {
        let asked = Arc::clone(&asked);
        move |page: &StatusPage| {
            asked.lock().unwrap().push(*page);
            status()
        }
    });
    let answer = format!("{:?}", ask(&routes, "/api/v1/status", None));
    assert!(
        answer.contains("application/json") && answer.contains("no-store"),
        "{answer}"
    );
    ask(&routes, "/api/v1/status", Some("after=7&limit=9"));
    let expected = [StatusPage::default(), StatusPage { after: 7, limit: 9 }];
    assert_eq!(*asked.lock().unwrap(), expected);
    for (query, name) in [("limit=-1", "limit"), ("limit=1&after=x", "after")] {
        let refused = Response::error(400, &format!("{name} is to be a whole number"));
        assert_eq!(ask(&routes, "/api/v1/status", Some(query)), refused);
    }
    assert_eq!(ask(&routes, "/elsewhere", None), Response::not_found());
}

#[test]
fn the_page_has_one_script_one_style_and_nothing_from_elsewhere() {
    for element in ["script", "style"] {
        assert_eq!(PAGE.matches(&format!("<{element}")).count(), 1, "{element}");
        assert!(inside(PAGE, element).len() > 100, "{element}");
    }
    let outside = [
        "src=",
        "@import",
        "url(",
        " style=",
        " onclick=",
        "javascript:",
    ];
    for trap in outside.into_iter().chain([
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ]) {
        assert!(!PAGE.contains(trap), "{trap}");
    }
    let policy = content_security_policy(PAGE);
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
    assert!(!policy.contains("unsafe"), "{policy}");
}

/// A change that forgets this one breaks those who read the JSON.
#[test]
fn names_in_the_json_are_those_of_the_manual() {
    let manual = include_str!("../../../docs/status-page.md");
    let status: serde_json::Value = serde_json::to_value(example()).unwrap();
    let mut checked = 0;
    let mut left = vec![status];
    while let Some(value) = left.pop() {
        if let Some(object) = value.as_object() {
            for (name, value) in object {
                assert!(
                    manual.contains(&format!("| `{name}` |")),
                    "{name} is not in the manual"
                );
                left.push(value.clone());
                checked += 1;
            }
        } else if let Some(list) = value.as_array() {
            left.extend(list.iter().cloned());
        }
    }
    assert!(checked > 40, "only {checked} names were found");
}

/// With everything that is there only sometimes.
fn example() -> Status {
    let example = r#"{
        "program": "server", "version": "", "id": "", "uptime_seconds": 1, "ready": true, "draining": false,
        "problems": ["a"], "truncated": true, "next": 5, "policy_generation": 2,
        "totals": {"links": 1, "streams": 1, "pending_dials": 1, "outgoing_bytes": 1, "incoming_bytes": 1,
            "stalled_streams": 1, "retained_bytes": 1, "streams_opened": 1, "streams_closed": 1, "dials_failed": 1,
            "bytes_from_agent": 1, "bytes_to_agent": 1, "transports_lost": 1, "resumptions": 1},
        "limits": [{"name": "max_agents", "reached": 1}],
        "peers": [{"id": "a", "identity": "b", "tenant": "t", "identifiers": ["host=c"], "links": [
            {"link": 1, "state": "connected", "address": "10.0.0.1:1", "age_seconds": 1, "round_trip_seconds": 0.1,
             "streams": 1, "pending_dials": 0, "outgoing_bytes": 0, "incoming_bytes": 0, "stalled_streams": 0,
             "retained_bytes": 0, "resumptions": 0}]}]}"#;
    serde_json::from_str(example).unwrap()
}
