use std::collections::BTreeSet;
use std::time::Duration;

use dialback_core::agent::fleet::ServerCountSource;

use super::{AgentOptions, agent_flags};
use crate::flags::{TunnelOptions, Validated};

/// The least flags that make an agent, and more.
fn agent(more: &[&str]) -> Result<Validated<AgentOptions>, Vec<String>> {
    let line = ["--ca-cert=/dev/null"].iter().chain(more);
    let (line, _) = agent_flags()
        .parse(line.map(Into::into))
        .expect("the syntax is right");
    line.daemon.validate(line.runtime).map_err(|invalid| {
        let text = |error: String| {
            let text = error.strip_prefix("failed to validate agent options with ");
            text.expect("the prefix of the reference").to_owned()
        };
        invalid.each().map(|each| text(each.to_string())).collect()
    })
}

#[track_caller]
fn refused(more: &[&str], problems: &[&str]) {
    match agent(more) {
        Ok(_) => panic!("taken, instead of {problems:?}"),
        Err(texts) => assert_eq!(texts, problems),
    }
}

#[track_caller]
fn taken(more: &[&str]) -> AgentOptions {
    agent(more).expect("these flags are fine").options
}

#[test]
fn the_flags_are_the_references_and_ours() {
    let mut names: BTreeSet<&str> = agent_flags().flags.iter().map(|flag| flag.name).collect();
    for ours in [
        "version",
        "runtime",
        "drain-timeout",
        "allow-destination",
        "deny-destination",
        "logging-format",
        "certificate-reload-interval",
        "enable-status-page",
        "slow-stream-timeout",
        "resume-timeout",
        "max-stream-window",
        "memory-budget",
    ] {
        assert!(names.remove(ours), "{ours}");
    }
    assert_eq!(names.len(), 29 + 15 + 1, "{names:?}");
    let hidden: Vec<&str> = agent_flags()
        .flags
        .iter()
        .filter(|flag| flag.hidden)
        .map(|flag| flag.name)
        .collect();
    assert_eq!(hidden, ["lease-label"]);
}

#[test]
fn options_have_the_references_defaults() {
    let options = taken(&[]);
    assert_eq!(options.server_hosts, ["127.0.0.1"]);
    assert_eq!(options.server_port, 8091);
    assert_eq!(options.certificate, None);
    assert_eq!(options.alpn_protocols, [""; 0]);
    assert_eq!(options.token_path, None);
    assert_eq!(options.agent_id.len(), 36, "{}", options.agent_id);
    assert_eq!(options.identifiers, "");
    assert_eq!(options.health.to_string(), ":8093");
    assert_eq!(options.admin.to_string(), "127.0.0.1:8094");
    assert_eq!(options.sync_interval, Duration::from_secs(1));
    assert_eq!(options.sync_interval_cap, Duration::from_secs(10));
    assert!(!options.sync_forever);
    assert_eq!(options.keepalive_time, Duration::from_secs(3600));
    assert_eq!(
        options.tunnel,
        TunnelOptions {
            slow_stream_timeout: Duration::from_secs(10),
            resume_timeout: Duration::from_secs(30),
            max_stream_window_bytes: 8 * 1024 * 1024,
            memory_budget_bytes: 256 * 1024 * 1024,
        }
    );
}

/// How the reference's test suite starts an agent of someone else's making: every flag, in the printed form.
#[test]
fn the_references_test_suite_can_start_the_agent() {
    let options = taken(&[
        "--admin-bind-address=127.0.0.1",
        "--admin-server-port=40001",
        "--agent-cert=/dev/null",
        "--agent-id=0b1f",
        "--agent-identifiers=",
        "--agent-key=/dev/null",
        "--alpn-proto=[]",
        "--ca-cert=/dev/null",
        "--count-server-leases=false",
        "--enable-contention-profiling=false",
        "--enable-profiling=false",
        "--health-server-host=127.0.0.1",
        "--health-server-port=60001",
        "--keepalive-time=1h0m0s",
        "--kube-api-content-type=application/vnd.kubernetes.protobuf",
        "--kubeconfig=",
        "--lease-label=k8s-app=konnectivity-server",
        "--lease-label-selector=k8s-app=konnectivity-server",
        "--lease-namespace=kube-system",
        "--probe-interval=100ms",
        "--proxy-server-host=127.0.0.1",
        "--proxy-server-port=50001",
        "--server-count-source=default",
        "--service-account-token-path=",
        "--sync-forever=false",
        "--sync-interval=100ms",
        "--sync-interval-cap=1s",
        "--warn-on-channel-limit=false",
        "--xfr-channel-size=150",
    ]);
    assert_eq!(options.alpn_protocols, [""; 0]);
    assert_eq!(options.sync_interval, Duration::from_millis(100));
    assert_eq!(options.health.port, 60001);
}

#[test]
fn files_have_to_be_there_and_paired() {
    refused(
        &[
            "--agent-key=/no/key",
            "--agent-cert=/no/cert",
            "--ca-cert=/no/ca",
        ],
        &[
            "error checking agent key /no/key, got stat /no/key: no such file or directory",
            "error checking agent cert /no/cert, got stat /no/cert: no such file or directory",
            "error checking agent CA cert /no/ca, got stat /no/ca: no such file or directory",
        ],
    );
    refused(
        &["--agent-key=/dev/null"],
        &["cannot have agent cert empty when agent key is set to \"/dev/null\""],
    );
    refused(
        &["--agent-cert=/dev/null"],
        &["cannot have agent key empty when agent cert is set to \"/dev/null\""],
    );
    refused(
        &[
            "--service-account-token-path=/no/token",
            "--kubeconfig=/no/config",
        ],
        &[
            "error checking service account token path /no/token, got stat /no/token: no such file or directory",
            "error checking KubeconfigPath \"/no/config\", got stat /no/config: no such file or directory",
        ],
    );
    refused(
        &["--ca-cert="],
        &["agent CA cert must be set: the server's certificate is verified with it"],
    );
}

#[test]
fn ports_exist_and_may_be_reserved_or_ephemeral() {
    refused(
        &[
            "--proxy-server-port=0",
            "--health-server-port=-1",
            "--admin-server-port=0",
        ],
        &[
            "proxy server port 0 must be greater than 0",
            "health server port -1 must be greater than 0",
            "admin server port 0 must be greater than 0",
        ],
    );
    refused(
        &["--proxy-server-port=65536"],
        &["proxy server port 65536 must not be greater than 65535"],
    );
    let options = taken(&["--health-server-port=1023", "--admin-server-port=49152"]);
    assert_eq!(options.health.port, 1023);
    assert_eq!(options.admin.port, 49152);
}

#[test]
fn sizes_and_profiling_are_checked_as_on_the_server() {
    refused(
        &["--xfr-channel-size=-1", "--enable-contention-profiling"],
        &[
            "channel size -1 must be greater than 0",
            "if --enable-contention-profiling is set, --enable-profiling must also be set",
        ],
    );
}

#[test]
fn the_pause_between_attempts_lies_between_zero_and_its_cap() {
    refused(
        &["--sync-interval=10001ms"],
        &["sync interval 10.001s must be less than sync interval cap 10s"],
    );
    for none in ["0", "-1s"] {
        let printed = if none == "0" { "0s" } else { none };
        refused(
            &[&format!("--sync-interval={none}")],
            &[&format!("sync-interval must be > 0, got {printed}")],
        );
    }
    let options = taken(&["--sync-interval=10s"]);
    assert_eq!(options.sync_interval, options.sync_interval_cap);
}

#[test]
fn identifiers_are_a_query_of_known_keys() {
    for (identifiers, fault) in [
        ("uid=1", "unknown address type: uid"),
        ("host=%zz", "invalid URL escape \"%zz\""),
        ("host=a;b", "invalid semicolon separator in query"),
    ] {
        refused(
            &[&format!("--agent-identifiers={identifiers}")],
            &[&format!("agent address is invalid: {fault}")],
        );
    }
    let identifiers = "ipv4=1.2.3.4&host=a&default-route=true";
    let options = taken(&[&format!("--agent-identifiers={identifiers}")]);
    assert_eq!(options.identifiers, identifiers);
}

#[test]
fn leases_count_only_where_that_is_asked_for() {
    refused(
        &["--server-count-source=leases"],
        &["--server-count-source must be one of '', 'default', 'max', got leases"],
    );
    let quiet = taken(&[
        "--server-count-source=",
        "--lease-label-selector=a in (b,c)",
    ]);
    assert_eq!(quiet.leases, None);
    for (source, expected) in [
        ("", ServerCountSource::Leases),
        ("default", ServerCountSource::Leases),
        ("max", ServerCountSource::Max),
    ] {
        let options = taken(&[
            "--count-server-leases",
            "--lease-namespace=",
            "--lease-label-selector=a in (b,c)",
            &format!("--server-count-source={source}"),
        ]);
        let leases = options.leases.expect("asked for");
        assert_eq!(leases.source, expected);
        assert_eq!(leases.selector.to_string(), "a in (b,c)");
        assert_eq!(leases.namespace, "");
    }
}

#[cfg(feature = "smol")]
#[test]
fn leases_are_only_counted_on_tokio() {
    refused(
        &["--count-server-leases", "--runtime=smol"],
        &["--count-server-leases needs --runtime=tokio, which the Kubernetes API is asked on"],
    );
}

#[test]
fn a_bad_selector_is_a_flag_error() {
    for flag in ["lease-label-selector", "lease-label"] {
        let argument = format!("--{flag}=*x*");
        let error = agent_flags()
            .parse([argument.into()])
            .expect_err("no selector");
        let expected = format!(
            "invalid argument \"*x*\" for \"--{flag}\" flag: unable to parse requirement: <nil>: Invalid value: \
             \"*x*\": name part must consist of "
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn keepalive_times_that_konnectivity_punishes_are_warned_of() {
    refused(
        &["--keepalive-time=-1s"],
        &["keepalive-time must be >= 0, got -1s"],
    );
    for (flag, time) in [("0", 10), ("9s", 10), ("29s", 29)] {
        let answer = agent(&[&format!("--keepalive-time={flag}")]).expect("taken");
        assert_eq!(answer.options.keepalive_time, Duration::from_secs(time));
        assert!(answer.warnings[0].contains("30s"), "{:?}", answer.warnings);
    }
    let answer = agent(&["--keepalive-time=30s"]).expect("taken");
    assert_eq!(answer.warnings, [""; 0]);
}

#[test]
fn alpn_protocols_can_be_negotiated() {
    refused(
        &["--alpn-proto=a,,b"],
        &["--alpn-proto \"\" must be 1 to 255 bytes long"],
    );
    let options = taken(&["--alpn-proto=a,b", "--alpn-proto=c"]);
    assert_eq!(options.alpn_protocols, ["a", "b", "c"]);
}

#[test]
fn an_id_can_be_sent_and_may_be_empty() {
    refused(
        &["--agent-id=\u{e9}"],
        &["--agent-id \"\u{e9}\" must consist of printable ASCII characters"],
    );
    let answer = agent(&["--agent-id="]).expect("the reference takes it");
    assert_eq!(answer.options.agent_id, "");
    assert_eq!(answer.warnings.len(), 1, "{:?}", answer.warnings);
}

#[test]
fn a_time_for_slow_streams_is_needed() {
    refused(
        &["--slow-stream-timeout=0s"],
        &["slow-stream-timeout must be > 0, got 0s"],
    );
}

#[test]
fn servers_may_be_reached_by_several_hosts() {
    let hosts = [
        "--proxy-server-host=a.example",
        "--proxy-server-host=10.0.0.1",
    ];
    assert_eq!(taken(&hosts).server_hosts, ["a.example", "10.0.0.1"]);
}

#[test]
fn rules_about_destinations_make_sense() {
    refused(
        &[
            "--allow-destination=10.0.0.1/8",
            "--deny-destination=@all",
            "--deny-destination=a:0-x",
        ],
        &[
            "--allow-destination=10.0.0.1/8: \"10.0.0.1/8\" has bits behind its prefix: did you mean 10.0.0.0/8?",
            "--deny-destination=@all: there is no list \"@all\": the one that there is is @metadata",
        ],
    );
    assert!(
        taken(&["--allow-destination=", "--deny-destination="])
            .destinations
            .is_empty()
    );
    let rules = taken(&[
        "--deny-destination=@metadata",
        "--allow-destination=10.0.0.0/8:80",
    ])
    .destinations;
    assert!(
        rules
            .check("10.0.0.1:80", ([10, 0, 0, 1], 80).into())
            .is_ok()
    );
    assert!(
        rules
            .check("10.0.0.1:81", ([10, 0, 0, 1], 81).into())
            .is_err()
    );
}
