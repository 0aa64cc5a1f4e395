//! `docs/flags.md` is these tables of flags as a page; `DIALBACK_WRITE_DOCS=1` has the test below write it.

#![expect(
    clippy::unwrap_used,
    reason = "test code: a page that can't be read or written fails the test"
)]

use std::borrow::Cow;
use std::path::Path;

use super::command_line::CommandLine;
use super::set::{Flag, FlagSet};
use super::{agent_flags, server_flags};

/// The flags of klog and cobra, which all programs of Konnectivity have.
const REFERENCE_COMMON: &[&str] = &[
    "add-dir-header",
    "alsologtostderr",
    "alsologtostderrthreshold",
    "help",
    "legacy-stderr-threshold-behavior",
    "log-backtrace-at",
    "log-dir",
    "log-file",
    "log-file-max-size",
    "logtostderr",
    "one-output",
    "skip-headers",
    "skip-log-headers",
    "stderrthreshold",
    "v",
    "vmodule",
];

/// Konnectivity server, cmd/server/app/options.
const REFERENCE_SERVER: &[&str] = &[
    "admin-bind-address",
    "admin-port",
    "agent-bind-address",
    "agent-namespace",
    "agent-port",
    "agent-service-account",
    "authentication-audience",
    "backend-dial-timeout",
    "cipher-suites",
    "cluster-ca-cert",
    "cluster-cert",
    "cluster-key",
    "delete-existing-uds-file",
    "enable-contention-profiling",
    "enable-lease-controller",
    "enable-profiling",
    "frontend-keepalive-time",
    "graceful-shutdown-timeout",
    "health-bind-address",
    "health-port",
    "keepalive-time",
    "kube-api-content-type",
    "kubeconfig",
    "kubeconfig-burst",
    "kubeconfig-qps",
    "lease-label",
    "lease-namespace",
    "mode",
    "proxy-strategies",
    "server-bind-address",
    "server-ca-cert",
    "server-cert",
    "server-count",
    "server-id",
    "server-key",
    "server-port",
    "tls-min-version",
    "uds-name",
    "warn-on-channel-limit",
    "xfr-channel-size",
];

/// Konnectivity agent, cmd/agent/app/options.
const REFERENCE_AGENT: &[&str] = &[
    "admin-bind-address",
    "admin-server-port",
    "agent-cert",
    "agent-id",
    "agent-identifiers",
    "agent-key",
    "alpn-proto",
    "ca-cert",
    "count-server-leases",
    "enable-contention-profiling",
    "enable-profiling",
    "health-server-host",
    "health-server-port",
    "keepalive-time",
    "kube-api-content-type",
    "kubeconfig",
    "lease-label",
    "lease-label-selector",
    "lease-namespace",
    "probe-interval",
    "proxy-server-host",
    "proxy-server-port",
    "server-count-source",
    "service-account-token-path",
    "sync-forever",
    "sync-interval",
    "sync-interval-cap",
    "warn-on-channel-limit",
    "xfr-channel-size",
];

const INTRODUCTION: &str = "\
# Flags

<!-- Written by `DIALBACK_WRITE_DOCS=1 cargo test -p dialback --lib flags::page`; a test fails while it is out of date. -->

Every flag of `proxy-server` and `proxy-agent`, from the tables that they read their command lines with; `--help` shows
those that are not deprecated. *Konnectivity* under \"from\" means that the name, the syntax and the default are those of its daemons; *ours* means that
its daemons refuse the flag.

## How values are written

As Go's pflag reads them, so manifests need no change.

| value | what it is |
| --- | --- |
| bool | `--flag` alone is true; `--flag=false` is false. `--flag false` is true too, and `false` a stray word. |
| int, uint, bytes | decimal, or `0x1F`, `0b11`, `0o17`; a leading `0` is octal; `_` between digits |
| float32 | a number, such as `0.5` or `1e1` |
| duration | numbers with units, such as `1h0m0s`, `1.5h` or `100ms`; `ns`, `us`, `ms`, `s`, `m`, `h`; only `0` needs no unit |
| strings | a list with commas, as in CSV; repeated flags add up |
| selector | a Kubernetes label selector: `a=b`, `a!=b`, `a in (b,c)`, `!a` |
| Level | a verbosity, a whole number |
| severity | `INFO`, `WARNING`, `ERROR`, `FATAL`, or 0 to 3 |
| moduleSpec | `pattern=N,...` |
| traceLocation | `file.rs:N` |

A flag that is given twice has its last value, unless it says otherwise. Words that belong to no flag are ignored. A file is PEM unless said otherwise.
";

impl<D: Default> FlagSet<CommandLine<D>> {
    /// The table of `program`, whose flags in the reference are `reference` and the common ones.
    fn table(&self, program: &str, reference: &[&str]) -> String {
        let mut defaults = self.defaults();
        let mut text = format!(
            "\n## {program}\n\n| flag | value | default | from | what it is for |\n| --- | --- | --- | --- | --- |\n"
        );
        for flag in &self.flags {
            let theirs = reference
                .iter()
                .chain(REFERENCE_COMMON)
                .any(|name| *name == flag.name);
            let from = if theirs { "Konnectivity" } else { "ours" };
            text.push_str(&flag.row(&mut defaults, from));
        }
        text
    }
}

impl<O> Flag<O> {
    fn row(&self, defaults: &mut O, from: &str) -> String {
        let value = (self.value)(defaults);
        let shorthand = self
            .shorthand
            .map(|letter| format!(", `-{letter}`"))
            .unwrap_or_default();
        let kind = match (self.operand(), value.type_name()) {
            (Some(operand), _) => operand,
            (None, "") => "bool",
            (None, name) => name,
        };
        let default = match (&self.default, value.print().as_str()) {
            (Cow::Owned(_), _) => "made at start".to_owned(),
            (Cow::Borrowed(_), "" | "[]") => "empty".to_owned(),
            (Cow::Borrowed(_), text) => format!("`{text}`"),
        };
        let advice = self
            .deprecated
            .map(|advice| format!(" Deprecated: {advice}."))
            .unwrap_or_default();
        let usage = self.usage.replace('`', "").replace('|', "\\|");
        format!(
            "| `--{}`{shorthand} | {kind} | {default} | {from} | {usage}{advice} |\n",
            self.name
        )
    }
}

fn page() -> String {
    let server = server_flags().table("proxy-server", REFERENCE_SERVER);
    let agent = agent_flags().table("proxy-agent", REFERENCE_AGENT);
    format!("{INTRODUCTION}{server}{agent}")
}

#[test]
fn the_page_of_flags_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flags.md");
    let page = page();
    if std::env::var_os("DIALBACK_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    // Not assert_eq: two whole pages side by side would hide the difference.
    let differs = page
        .lines()
        .zip(written.lines())
        .find(|(ours, theirs)| ours != theirs);
    assert!(
        page == written,
        "docs/flags.md is out of date, first at {differs:?}: write it with DIALBACK_WRITE_DOCS=1 cargo test -p dialback --lib flags::page"
    );
}

#[test]
fn every_flag_of_the_reference_is_there() {
    let server = server_flags();
    let agent = agent_flags();
    let server: Vec<&str> = server.flags.iter().map(|flag| flag.name).collect();
    let agent: Vec<&str> = agent.flags.iter().map(|flag| flag.name).collect();
    for (ours, theirs) in [(&server, REFERENCE_SERVER), (&agent, REFERENCE_AGENT)] {
        for name in theirs.iter().chain(REFERENCE_COMMON) {
            assert!(ours.contains(name), "--{name} is missing");
        }
    }
}
