//! The audit log of a running server.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod support;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;
use support::daemon::{Folder, eventually};
use support::pair::{Front, Pair, Site};
use support::stream::{Stream, request};

const ON_HANGUP: &str = "--certificate-reload-interval=0s";

/// A folder with the files of a log; removed when dropped.
struct Log(Folder);

impl Log {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn path_flag(&self) -> String {
        format!("--audit-log-path={}", self.file("audit.log").display())
    }

    /// The records of a file so far.
    fn records(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.file(name)).unwrap_or_default();
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The first record of this event, once there is one.
    fn first(&self, name: &str, event: &str) -> Value {
        eventually(|| {
            let records = self.records(name);
            let mut found = records.iter().filter(|record| record["event"] == event);
            found
                .next()
                .cloned()
                .ok_or_else(|| format!("no {event} in {records:?}"))
        })
    }
}

#[test]
fn a_server_records_from_its_start_to_its_end() {
    let log = Log::new();
    let mut pair = Pair::start(Front::ConnectUnix, &[ON_HANGUP, &log.path_flag()]);
    drop(Stream::open(&pair.site));
    let closed = log.first("audit.log", "stream.closed");
    assert_eq!(closed["bytes"]["toEndpoint"], 1, "{closed}");
    assert_eq!(closed["addressDialled"], closed["destination"]);
    // As logrotate does it.
    fs::rename(log.file("audit.log"), log.file("audit.log.1")).unwrap();
    pair.server.hang_up();
    eventually(|| {
        let there = log.file("audit.log").exists();
        there
            .then_some(())
            .ok_or_else(|| "it is not opened again".to_owned())
    });
    drop(Stream::open(&pair.site));
    log.first("audit.log", "stream.closed");
    pair.until_at_rest();
    pair.server
        .reaches("dialback_audit_records_total{result=\"dropped\"}", 0.0);
    pair.server.terminate();
    assert!(pair.server.until_ended().success());
    let mut records = log.records("audit.log.1");
    records.extend(log.records("audit.log"));
    for (record, number) in records.iter().zip(1..) {
        assert_eq!(record["sequence"], number, "{record}");
    }
    assert_eq!(records[0]["event"], "audit.started");
    assert_eq!(records.last().unwrap()["event"], "audit.stopped");
    let before = &records[records.len() - 2];
    assert_eq!(before["event"], "agent.lost", "{before}");
    drop(pair);
}

#[test]
fn a_policy_chooses_events_and_a_changed_one_holds_at_once_if_it_is_good() {
    let log = Log::new();
    let policy = log.file("policy.yaml");
    let head = "apiVersion: dialback/v1\nkind: AuditPolicy\n";
    let nothing = format!("{head}rules: [{{events: ['stream.*'], record: none}}]\n");
    fs::write(&policy, &nothing).unwrap();
    let flag = format!("--audit-policy-file={}", policy.display());
    let mut pair = Pair::start(Front::ConnectUnix, &[ON_HANGUP, &log.path_flag(), &flag]);
    drop(Stream::open(&pair.site));
    pair.until_at_rest();
    let reloads = |result| format!(r#"dialback_audit_policy_reloads_total{{result="{result}"}}"#);
    fs::write(&policy, format!("{head}rules: [{{omit: [frontent]}}]\n")).unwrap();
    pair.server.hang_up();
    pair.server.reaches(&reloads("refused"), 1.0);
    eventually(|| {
        let logged = pair.server.logged();
        let told = "is no field of a record (line 3)";
        logged.contains(told).then_some(()).ok_or(logged)
    });
    drop(Stream::open(&pair.site));
    pair.until_at_rest();
    fs::write(&policy, format!("{head}rules: [{{omit: [frontend]}}]\n")).unwrap();
    pair.server.hang_up();
    pair.server.reaches(&reloads("success"), 1.0);
    drop(Stream::open(&pair.site));
    let opened = log.first("audit.log", "stream.opened");
    assert_eq!(opened["frontend"], Value::Null, "{opened}");
    assert_eq!(opened["stream"], 3);
    assert_eq!(opened["sequence"], 3, "what is not wanted has no number");
    pair.until_at_rest();
    drop(pair);
}

#[test]
fn a_strict_server_on_a_full_disk_takes_nothing_new_and_says_so() {
    let site = Site::new();
    let flags = ["--audit-log-path=/dev/full", "--audit-log-mode=strict"];
    let mut server = site.start_server(Front::ConnectUnix, &flags);
    server.reaches("dialback_audit_failing", 1.0);
    server.until("/readyz", 500);
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut refused = request(&site.socket(), endpoint.local_addr().unwrap()).unwrap();
    let mut answer = String::new();
    refused.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
    assert!(answer.contains("audit log takes no records"), "{answer}");
    // The log is written behind the metric.
    let told: Vec<String> = eventually(|| {
        let logged = server.logged();
        let told = logged
            .lines()
            .filter(|line| line.contains("audit log can't be written"));
        let told: Vec<_> = told.map(str::to_owned).collect();
        (!told.is_empty()).then_some(told).ok_or(logged)
    });
    assert_eq!(told.len(), 1, "once: {told:?}");
    assert!(
        told[0].contains("/dev/full") && told[0].contains("No space left"),
        "{told:?}"
    );
    server.terminate();
    server.until_ended();
}

#[test]
fn what_can_not_be_recorded_stops_the_server_at_the_start() {
    let site = Site::new();
    let log = Log::new();
    let policy = log.file("policy.yaml");
    fs::write(
        &policy,
        "apiVersion: dialback/v1\nkind: AuditPolicy\nrules: [{record: some}]\n",
    )
    .unwrap();
    let policy = format!("--audit-policy-file={}", policy.display());
    for (flags, told) in [
        (
            vec![log.path_flag(), policy.clone()],
            "policy.yaml: field \"rules[0].record\": \"some\" is to be all or none (line 3)",
        ),
        (vec![policy], "set --audit-log-path too"),
        (
            vec!["--audit-log-path=/dev/null/audit.log".to_owned()],
            "--audit-log-path: ",
        ),
        (
            vec![log.path_flag(), "--audit-log-maxage=-1".to_owned()],
            "--audit-log-maxage -1 can't be a negative number",
        ),
        (
            vec![log.path_flag(), "--audit-log-format=xml".to_owned()],
            "--audit-log-format must be set to either 'json' or 'legacy' not \"xml\"",
        ),
        (
            vec![log.path_flag(), "--audit-log-mode=blocking".to_owned()],
            "--audit-log-mode must be set to either 'best-effort' or 'strict' not \"blocking\"",
        ),
    ] {
        let output = site.refused_server(&flags);
        assert_eq!(output.status.code(), Some(1), "{flags:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let lines = errors.lines().filter(|line| line.starts_with("Error:"));
        let lines: Vec<_> = lines.collect();
        assert!(
            lines.len() == 1 && lines[0].contains(told),
            "{flags:?}: {errors}"
        );
    }
}
