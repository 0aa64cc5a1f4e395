//! Policy files: checked from a terminal, refused at the start, and taken up or kept out while a server runs.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use support::pair::{Front, Site};
use support::stream::Stream;

const POLICY: &str = "apiVersion: dialback/v1
kind: Policy
tenants:
- {name: blue, frontends: [{organization: blue}], agents: [{organization: blue}]}
rules:
- {name: nodes, action: allow, to: [{host: '*.nodes', ports: [10250]}]}
- {name: metadata, action: deny, to: [{cidr: 169.254.0.0/16}]}
";

fn check(site: &Site, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dialback"))
        .args(["policy", "check"])
        .arg(site.file("policy.yaml"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_decision_is_explained() {
    let site = Site::new();
    fs::write(site.file("policy.yaml"), POLICY).unwrap();
    let told = |arguments: &[&str]| {
        let output = check(&site, arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = told(&["--to=169.254.169.254:80"]);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("denied: rule \"metadata\" denies it\ntenant of the frontend: none\n"),
        "{text}"
    );
    let (code, text) = told(&["--to=a.nodes:10250", "--frontend=organization=blue"]);
    assert_eq!(code, Some(0));
    assert!(
        text.starts_with("allowed\ntenant of the frontend: blue\n"),
        "{text}"
    );
    assert!(text.contains("\"nodes\": allow, for every agent"), "{text}");

    let (code, text) = told(&["--to=10.0.0.1:1", "--agent=organization=blue", "--json"]);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &told["decision"]), (Some(1), &Value::from("deny")));
    assert_eq!(told["rule"], Value::Null);
    assert!(
        told["reason"].as_str().unwrap().contains("other tenants"),
        "{told}"
    );

    fs::write(site.file("policy.yaml"), POLICY.replace("deny,", "denny,")).unwrap();
    let output = check(&site, &["--to=10.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("field \"rules[1].action\"") && error.contains("(line 7)"),
        "{error}"
    );
}

#[test]
fn a_bad_file_stops_the_start_with_one_line_that_says_where() {
    let site = Site::new();
    let file = site.file("policy.yaml");
    fs::write(&file, "apiVersion: dialback/v1\nkind: Policy\nrulez: []\n").unwrap();
    let flag = format!("--policy-file={}", file.display());
    let output = site.refused_server(&[flag]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let told = format!(
        "--policy-file: {}: unknown field \"rulez\" (line 3)",
        file.display()
    );
    // Once for whoever started it and once in the log, as with everything that stops the start.
    assert!(error.starts_with(&format!("Error: {told}\n")), "{error}");
    assert!(error.lines().all(|line| line.ends_with(&told)), "{error}");
    assert!(!site.socket().exists());
}

#[test]
fn a_changed_policy_is_taken_up_and_a_bad_one_kept_out() {
    let site = Site::new();
    let put = |site: &Site, text: &str| {
        fs::write(site.file("next"), text).unwrap();
        fs::rename(site.file("next"), site.file("policy.yaml")).unwrap();
    };
    put(&site, POLICY.split_once("tenants").unwrap().0);
    let file = format!("--policy-file={}", site.file("policy.yaml").display());
    let on_hangup = "--certificate-reload-interval=0s";
    let mut server = site.start_server(Front::ConnectUnix, &[&file, on_hangup]);
    let mut agent = site.start_agent(&[]);
    agent.until("/readyz", 200);
    server.until("/readyz", 200);
    let mut stream = Stream::open(&site);
    stream.exchange();
    server.reaches("dialback_policy_generation", 1.0);

    put(
        &site,
        "apiVersion: dialback/v1\nkind: Policy\ndefault: maybe\n",
    );
    server.hang_up();
    server.reaches("dialback_policy_reloads_total{result=\"refused\"}", 1.0);
    server.reaches("dialback_policy_last_reload_successful", 0.0);
    let logged = server.logged();
    assert!(
        logged.contains("field \\\"default\\\"") || logged.contains("field \"default\""),
        "{logged}"
    );
    assert!(
        logged.contains("(line 3)") && logged.contains("the old one stays in force"),
        "{logged}"
    );
    stream.exchange();
    drop(Stream::open(&site));

    put(
        &site,
        "apiVersion: dialback/v1\nkind: Policy\ndefault: deny\n",
    );
    server.hang_up();
    server.reaches("dialback_policy_reloads_total{result=\"success\"}", 1.0);
    server.reaches("dialback_policy_generation", 2.0);
    server.reaches("dialback_policy_streams_cut_total", 1.0);
    drop(stream);
}
