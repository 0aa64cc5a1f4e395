mod kubernetes;

use std::collections::BTreeSet;
use std::time::Duration;

use dialback_core::audit::AuditMode;
use dialback_core::server::Strategy;

use super::{FrontendListener, FrontendMode, ServerOptions, server_flags};
use crate::flags::{
    AuditFileOptions, AuditFormat, AuditOptions, AuditOutput, TunnelOptions, Validated,
};

/// A file that exists wherever the tests run.
const FILE: &str = "/dev/null";

/// The least flags that make a server with a Unix socket.
fn unix(more: &[&str]) -> Result<Validated<ServerOptions>, Vec<String>> {
    let mut line = vec![
        "--uds-name=/run/socket",
        "--server-port=0",
        "--cluster-cert=/dev/null",
        "--cluster-key=/dev/null",
        "--cluster-ca-cert=/dev/null",
    ];
    line.extend(more);
    validate(&line)
}

/// The least flags that make a server on TCP.
fn tcp(more: &[&str]) -> Result<Validated<ServerOptions>, Vec<String>> {
    let mut line = vec![
        "--server-cert=/dev/null",
        "--server-key=/dev/null",
        "--server-ca-cert=/dev/null",
        "--cluster-cert=/dev/null",
        "--cluster-key=/dev/null",
        "--cluster-ca-cert=/dev/null",
    ];
    line.extend(more);
    validate(&line)
}

/// What a command line comes to: options, or what is wrong, without the common prefix.
fn validate(line: &[&str]) -> Result<Validated<ServerOptions>, Vec<String>> {
    let (line, _) = server_flags()
        .parse(line.iter().map(Into::into))
        .expect("the syntax is right");
    line.daemon.validate(line.runtime).map_err(|invalid| {
        let text = |error: String| {
            let text = error.strip_prefix("failed to validate server options with ");
            text.expect("the prefix of the reference").to_owned()
        };
        invalid.each().map(|each| text(each.to_string())).collect()
    })
}

#[track_caller]
fn refused(answer: Result<Validated<ServerOptions>, Vec<String>>, problems: &[&str]) {
    match answer {
        Ok(_) => panic!("taken, instead of {problems:?}"),
        Err(texts) => assert_eq!(texts, problems),
    }
}

#[track_caller]
fn taken(answer: Result<Validated<ServerOptions>, Vec<String>>) -> ServerOptions {
    answer.expect("these flags are fine").options
}

#[test]
fn the_flags_are_the_references_and_ours() {
    let mut names: BTreeSet<&str> = server_flags().flags.iter().map(|flag| flag.name).collect();
    for ours in [
        "version",
        "runtime",
        "logging-format",
        "dial-hedging",
        "audit-log-path",
        "audit-log-maxsize",
        "audit-log-maxage",
        "audit-log-maxbackup",
        "audit-log-compress",
        "audit-log-format",
        "audit-log-mode",
        "audit-log-batch-buffer-size",
        "audit-policy-file",
        "zone",
        "require-agent-authentication",
        "policy-file",
        "throttle-file",
        "certificate-reload-interval",
        "enable-status-page",
        "max-frontends",
        "max-agents",
        "max-agent-handshakes",
        "max-http-header-bytes",
        "max-grpc-metadata-bytes",
        "max-streams-per-agent",
        "max-pending-dials",
        "handshake-timeout",
        "slow-stream-timeout",
        "resume-timeout",
        "max-stream-window",
        "memory-budget",
    ] {
        assert!(names.remove(ours), "{ours}");
    }
    // Its own, those of klog, and help.
    assert_eq!(names.len(), 40 + 15 + 1, "{names:?}");
    let hidden: Vec<&str> = server_flags()
        .flags
        .iter()
        .filter(|flag| flag.hidden)
        .map(|flag| flag.name)
        .collect();
    assert_eq!(hidden, ["warn-on-channel-limit"]);
}

#[test]
fn options_have_the_references_defaults() {
    let options = taken(unix(&[]));
    assert_eq!(options.mode, FrontendMode::Grpc);
    assert_eq!(
        options.frontends,
        FrontendListener::Unix {
            path: "/run/socket".into(),
            replace: true
        }
    );
    assert_eq!(options.agents.address.to_string(), ":8091");
    assert_eq!(options.admin.to_string(), "127.0.0.1:8095");
    assert_eq!(options.health.to_string(), ":8092");
    assert_eq!(options.keepalive_time, Duration::from_secs(3600));
    assert_eq!(options.frontend_keepalive_time, Duration::from_secs(3600));
    assert_eq!(options.server_count, 1);
    assert_eq!(options.graceful_shutdown_timeout, Duration::ZERO);
    assert_eq!(options.backend_dial_timeout, None);
    assert_eq!(
        options.tunnel,
        TunnelOptions {
            slow_stream_timeout: Duration::from_secs(10),
            resume_timeout: Duration::from_secs(30),
            max_stream_window_bytes: 8 * 1024 * 1024,
            memory_budget_bytes: 256 * 1024 * 1024,
        }
    );
    let strategies: Vec<Strategy> = options.strategies.iter().collect();
    assert_eq!(strategies, [Strategy::Default]);
    assert_eq!(options.server_id.len(), 36, "{}", options.server_id);
}

#[test]
fn tcp_frontends_have_their_port_and_certificates() {
    let options = taken(tcp(&["--mode=http-connect", "--server-bind-address=::1"]));
    assert_eq!(options.mode, FrontendMode::HttpConnect);
    let FrontendListener::Tcp {
        address,
        certificate,
        client_authority,
    } = options.frontends
    else {
        panic!("not TCP: {:?}", options.frontends);
    };
    assert_eq!(address.to_string(), "[::1]:8090");
    assert_eq!(certificate.key.to_str(), Some(FILE));
    assert_eq!(client_authority.to_str(), Some(FILE));
}

#[test]
fn an_empty_admin_address_is_every_address() {
    let options = taken(unix(&["--admin-bind-address="]));
    assert_eq!(options.admin.to_string(), ":8095");
}

#[test]
fn without_any_flag_everything_needed_is_asked_for() {
    refused(
        validate(&[]),
        &[
            "server ca cert must be set when in TCP mode (uds-name is empty)",
            "server cert and key must be set: the listener speaks TLS",
            "cluster cert and key must be set: the listener speaks TLS",
        ],
    );
}

#[test]
fn files_have_to_be_there_and_paired() {
    refused(
        tcp(&[
            "--server-key=/no/key",
            "--server-cert=/no/cert",
            "--server-ca-cert=/no/ca",
        ]),
        &[
            "error checking server key /no/key, got stat /no/key: no such file or directory",
            "error checking server cert /no/cert, got stat /no/cert: no such file or directory",
            "error checking server CA cert /no/ca, got stat /no/ca: no such file or directory",
        ],
    );
    refused(
        tcp(&[
            "--cluster-key=/no/key",
            "--cluster-cert=/no/cert",
            "--cluster-ca-cert=/no/ca",
        ]),
        &[
            "error checking cluster key /no/key, got stat /no/key: no such file or directory",
            "error checking cluster cert /no/cert, got stat /no/cert: no such file or directory",
            "error checking cluster CA cert /no/ca, got stat /no/ca: no such file or directory",
        ],
    );
    refused(
        tcp(&["--server-cert="]),
        &["cannot have server cert empty when server key is set to \"/dev/null\""],
    );
    refused(
        tcp(&["--server-key="]),
        &["cannot have server key empty when server cert is set to \"/dev/null\""],
    );
    refused(
        tcp(&["--cluster-cert="]),
        &["cannot have cluster cert empty when cluster key is set to \"/dev/null\""],
    );
    refused(
        tcp(&["--cluster-key="]),
        &["cannot have cluster key empty when cluster cert is set to \"/dev/null\""],
    );
    refused(
        unix(&["--kubeconfig=/no/config"]),
        &["checking KubeconfigPath \"/no/config\", got stat /no/config: no such file or directory"],
    );
    taken(unix(&["--kubeconfig=/dev/null", "--kubeconfig-qps=5"]));
    // A directory, or a file below a file, exists as far as this check goes.
    taken(unix(&["--kubeconfig=/dev"]));
    taken(unix(&["--kubeconfig=/dev/null/below"]));
}

#[test]
fn the_mode_is_one_of_two() {
    for mode in ["", "GRPC", "http"] {
        let problem = format!("mode must be set to either 'grpc' or 'http-connect' not \"{mode}\"");
        refused(unix(&[&format!("--mode={mode}")]), &[&problem]);
    }
}

#[test]
fn a_unix_socket_goes_with_neither_port_nor_tls() {
    refused(
        tcp(&["--uds-name=/run/socket"]),
        &[
            "server port should be set to 0 not 8090 for UDS",
            "server key should not be set for UDS",
            "server cert should not be set for UDS",
            "server ca cert should not be set for UDS",
        ],
    );
}

#[test]
fn ports_are_neither_ephemeral_nor_reserved() {
    refused(
        tcp(&[
            "--server-port=49152",
            "--agent-port=65536",
            "--admin-port=1023",
            "--health-port=-1",
        ]),
        &[
            "please do not try to use ephemeral port 49152 for the server port",
            "please do not try to use ephemeral port 65536 for the agent port",
            "please do not try to use reserved port 1023 for the admin port",
            "please do not try to use reserved port -1 for the health port",
        ],
    );
    refused(
        tcp(&[
            "--server-port=0",
            "--agent-port=1023",
            "--admin-port=49152",
            "--health-port=49152",
        ]),
        &[
            "please do not try to use ephemeral port 49152 for the admin port",
            "please do not try to use ephemeral port 49152 for the health port",
            "please do not try to use reserved port 0 for the server port",
            "please do not try to use reserved port 1023 for the agent port",
        ],
    );
    let options = taken(unix(&["--agent-port=1024", "--admin-port=49151"]));
    assert_eq!(options.agents.address.port, 1024);
    assert_eq!(options.admin.port, 49151);
}

#[test]
fn contention_profiling_needs_profiling() {
    refused(
        unix(&["--enable-contention-profiling"]),
        &["if --enable-contention-profiling is set, --enable-profiling must also be set"],
    );
    let answer = unix(&["--enable-contention-profiling", "--enable-profiling"]);
    let warnings = answer.expect("both are fine").warnings;
    assert!(
        warnings[0].starts_with("--enable-contention-profiling has no effect"),
        "{warnings:?}"
    );
}

#[test]
fn agents_without_authentication_are_warned_of() {
    let warnings = unix(&["--cluster-ca-cert="])
        .expect("allowed, as in the reference")
        .warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("agents are not authenticated"));
    assert_eq!(unix(&[]).expect("fine").warnings, [""; 0]);
}

#[test]
fn agents_without_authentication_can_be_refused() {
    let required = "--require-agent-authentication";
    refused(
        unix(&["--cluster-ca-cert=", required]),
        &[
            "--require-agent-authentication is set: set --cluster-ca-cert too, or --agent-namespace and the flags beside it",
        ],
    );
    assert_eq!(unix(&[required]).expect("fine").warnings, [""; 0]);
}

#[test]
fn strategies_are_known_and_not_none() {
    refused(
        unix(&["--proxy-strategies="]),
        &["ProxyStrategies cannot be empty"],
    );
    refused(
        unix(&["--proxy-strategies=,"]),
        &["invalid proxy strategies: proxy strategies cannot be empty"],
    );
    refused(
        unix(&["--proxy-strategies=destHost, default"]),
        &["invalid proxy strategies: unknown proxy strategy:  default"],
    );
    let options = taken(unix(&["--proxy-strategies=destHost,defaultRoute,default"]));
    let strategies: Vec<Strategy> = options.strategies.iter().collect();
    assert_eq!(
        strategies,
        [
            Strategy::DestHost,
            Strategy::DefaultRoute,
            Strategy::Default
        ]
    );
}

#[test]
fn queues_have_room() {
    refused(
        unix(&["--xfr-channel-size=0"]),
        &["channel size 0 must be greater than 0"],
    );
    taken(unix(&["--xfr-channel-size=1"]));
}

#[test]
fn tls_versions_go_by_gos_names() {
    refused(
        unix(&["--tls-min-version=1.2"]),
        &[
            "unsupported TLS version \"1.2\", supported values are: VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13",
        ],
    );
    taken(unix(&["--tls-min-version=VersionTLS13"]));
    let old = unix(&["--tls-min-version=VersionTLS10"]).expect("taken as 1.2");
    assert!(old.warnings[0].contains("RFC 8996"), "{:?}", old.warnings);
}

#[test]
fn cipher_suites_go_by_gos_names_and_cbc_is_left_out() {
    for name in [
        "TLS_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "tls_aes_128_gcm_sha256",
    ] {
        let problem =
            format!("cipher suite {name} not supported, doesn't exist or considered as insecure");
        let flag = format!("--cipher-suites=TLS_AES_128_GCM_SHA256,{name}");
        refused(unix(&[&flag]), &[&problem]);
    }
    let mixed = "--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,\
                 TLS_AES_256_GCM_SHA384";
    let answer = unix(&[mixed]).expect("one is supported");
    assert!(answer.warnings[0].contains("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"));
    refused(
        unix(&["--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"]),
        &[
            "none of the cipher suites can be served: TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA use CBC, which is not \
             supported; add an AEAD suite such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ],
    );
    let only_tls13 = unix(&["--cipher-suites=TLS_AES_128_GCM_SHA256"]).expect("TLS 1.3 is left");
    assert!(
        only_tls13.warnings[0].contains("TLS 1.2"),
        "{:?}",
        only_tls13.warnings
    );
    taken(unix(&["--cipher-suites="]));
}

#[test]
fn times_are_not_negative() {
    refused(
        unix(&[
            "--graceful-shutdown-timeout=-1s",
            "--backend-dial-timeout=-1m",
            "--keepalive-time=-1ns",
            "--frontend-keepalive-time=-1h",
            "--slow-stream-timeout=0",
            "--resume-timeout=-1s",
            "--max-stream-window=262143",
            "--memory-budget=-1",
        ]),
        &[
            "graceful-shutdown-timeout must be >= 0, got -1s",
            "backend-dial-timeout must be >= 0, got -1m0s",
            "keepalive-time must be >= 0, got -1ns",
            "frontend-keepalive-time must be >= 0, got -1h0m0s",
            "slow-stream-timeout must be > 0, got 0s",
            "resume-timeout must be >= 0, got -1s",
            "max-stream-window must be >= 262144 bytes, got 262143",
            "memory-budget must be >= 16777216 bytes, got -1",
        ],
    );
}

#[test]
fn small_keepalive_times_are_raised_as_by_grpc_go() {
    let options = taken(unix(&[
        "--keepalive-time=0",
        "--frontend-keepalive-time=1ms",
    ]));
    assert_eq!(options.keepalive_time, Duration::from_secs(7200));
    assert_eq!(options.frontend_keepalive_time, Duration::from_secs(1));
}

#[test]
fn an_id_can_be_sent() {
    refused(
        unix(&["--server-id=a\nb"]),
        &[r#"--server-id "a\nb" must consist of printable ASCII characters"#],
    );
    assert_eq!(taken(unix(&["--server-id=node 1"])).server_id, "node 1");
}

#[test]
fn unused_counts_and_ids_are_warned_of() {
    let answer = unix(&["--server-count=-3", "--server-id="]).expect("the reference takes both");
    assert_eq!(answer.options.server_count, -3);
    assert_eq!(answer.warnings.len(), 2, "{:?}", answer.warnings);
}

#[test]
fn limits_have_to_let_something_through() {
    let limits = taken(unix(&[])).limits;
    assert_eq!((limits.max_frontends, limits.max_agents), (20_000, 20_000));
    assert_eq!(limits.max_streams_per_agent, 16_384);
    assert_eq!(limits.handshake_timeout, Duration::from_secs(120));
    assert_eq!(limits.max_agent_handshakes, 128);
    assert_eq!(limits.max_http_header_bytes, 1024 * 1024);
    assert_eq!(limits.max_grpc_metadata_bytes, 64 * 1024);
    let limits = taken(unix(&["--max-pending-dials=7", "--handshake-timeout=10s"])).limits;
    assert_eq!(limits.max_pending_dials, 7);
    assert_eq!(limits.handshake_timeout, Duration::from_secs(10));
    refused(
        unix(&[
            "--max-frontends=0",
            "--max-agents=-3",
            "--handshake-timeout=0s",
            "--max-http-header-bytes=1023",
            "--max-grpc-metadata-bytes=0",
        ]),
        &[
            "max-frontends must be >= 1, got 0",
            "max-agents must be >= 1, got -3",
            "max-http-header-bytes must be >= 1024 bytes, got 1023",
            "max-grpc-metadata-bytes must be >= 8192 bytes, got 0",
            "handshake-timeout must be > 0, got 0s",
        ],
    );
}

#[test]
fn the_audit_log_has_the_flags_of_kube_apiserver() {
    assert_eq!(taken(unix(&["--audit-log-maxsize=5"])).audit, None);
    let audit = taken(unix(&["--audit-log-path=-"])).audit;
    assert_eq!(
        audit,
        Some(AuditOptions {
            output: AuditOutput::Standard,
            format: AuditFormat::Json,
            mode: AuditMode::BestEffort,
            waiting: 10_000,
            policy: None,
        })
    );
    let audit = taken(unix(&[
        "--audit-log-path=/a/b",
        "--audit-log-maxsize=0",
        "--audit-log-maxage=2",
        "--audit-log-maxbackup=3",
        "--audit-log-compress",
        "--audit-log-format=legacy",
        "--audit-log-mode=strict",
    ]))
    .audit
    .expect("there is a path");
    assert_eq!(
        audit.output,
        AuditOutput::File(AuditFileOptions {
            path: "/a/b".into(),
            max_bytes: 100 << 20,
            max_age: Some(Duration::from_secs(2 * 86_400)),
            max_backups: Some(3),
            compress: true,
        })
    );
    assert_eq!(
        (audit.format, audit.mode),
        (AuditFormat::Legacy, AuditMode::Strict)
    );
    refused(
        unix(&[
            "--audit-log-path=-",
            "--audit-log-maxbackup=-1",
            "--audit-log-batch-buffer-size=0",
        ]),
        &[
            "--audit-log-maxbackup -1 can't be a negative number",
            "audit-log-batch-buffer-size must be >= 1, got 0",
        ],
    );
}
