//! `dialback dial`, and what all tools have in common.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use crate::endpoints::{Hanging, echo, line, sum, summary};
use crate::support::pair::{Front, Pair};
use crate::tool::{DIALBACK, closed, run, start, through, told};

const FRONTS: [Front; 4] = [
    Front::GrpcUnix,
    Front::GrpcTcp,
    Front::ConnectUnix,
    Front::ConnectTcp,
];

#[test]
fn dial_connects_its_input_and_output() {
    for front in FRONTS {
        let pair = Pair::start(front, &[]);
        let flags = through(&pair, front);
        // The echo ends when its input does.
        let output = run("dial", &flags, &[&echo().to_string()], b"hello\n");
        assert_eq!(told(&output), "");
        assert_eq!(output.stdout, b"hello\n");
        assert_eq!(output.status.code(), Some(0));
        pair.finish();
    }
}

/// The end of the input reaches the endpoint, and its answer still comes back.
#[test]
fn an_endpoint_may_answer_at_the_end_of_what_is_piped_into_dial() {
    let input: Vec<u8> = (0..50_000_000_u32)
        .map(|index| (index % 251).to_le_bytes()[0])
        .collect();
    for front in FRONTS {
        let pair = Pair::start(front, &[]);
        let flags = through(&pair, front);
        for input in [&input[..], b""] {
            let output = run("dial", &flags, &[&sum().to_string()], input);
            assert_eq!(told(&output), "");
            let answer = String::from_utf8(output.stdout).unwrap();
            assert_eq!(answer, summary(input));
            assert_eq!(output.status.code(), Some(0));
        }
        pair.finish();
    }
}

#[test]
fn dial_says_by_its_exit_code_whose_fault_it_was() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let address = closed(&pair).to_string();
    let refused = run("dial", &flags, &[&address], b"");
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(told(&refused).contains("connect: connection refused"));
    let usage = run("dial", &flags, &[], b"");
    assert_eq!(usage.status.code(), Some(1));
    let odd = run("dial", &flags, &["no-port"], b"");
    assert_eq!(odd.status.code(), Some(1), "{}", told(&odd));
    let nobody = ["--uds=/nonexistent/socket".to_owned()];
    let nobody = run("dial", &nobody, &[&address], b"");
    assert_eq!(nobody.status.code(), Some(2), "{}", told(&nobody));
    assert!(told(&nobody).starts_with("dialback: proxy server unix:/nonexistent/socket can't be"));
    let half = ["--url=http://127.0.0.1:1", "--ca-cert=x"].map(str::to_owned);
    let half = run("dial", &half, &[&address], b"");
    assert_eq!(half.status.code(), Some(1), "{}", told(&half));
    // A server that takes the connection and says nothing.
    let silent = pair.site.file("silent.sock");
    let _silent = UnixListener::bind(&silent).unwrap();
    let uds = format!("--uds={}", silent.display());
    let silent = [uds, "--mode=http-connect".to_owned()];
    let late = run("dial", &silent, &["--dial-timeout=100ms", &address], b"");
    assert_eq!(late.status.code(), Some(4), "{}", told(&late));
    pair.finish();
}

#[test]
fn a_connection_that_breaks_is_told_from_one_that_ends() {
    // On a plain HTTP-CONNECT stream the kernel ends what a killed server had open, as if the endpoint had.
    for front in [Front::GrpcUnix, Front::GrpcTcp, Front::ConnectTcp] {
        let mut pair = Pair::start(front, &[]);
        let mut dial = start("dial", &through(&pair, front), &[&echo().to_string()]);
        let mut input = dial.stdin.take().unwrap();
        input.write_all(b"x").unwrap();
        dial.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        pair.server.kill();
        let ended = dial.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(5), "{front:?}: {}", told(&ended));
        assert!(told(&ended).starts_with("dialback: connection broke: "));
        drop(input);
    }
}

/// The process that dials goes, and with it, at both daemons, all there was of its dial.
#[test]
fn a_dial_that_is_given_up_leaves_nothing_behind() {
    const PENDING: &str = "konnectivity_network_proxy_server_pending_backend_dials";
    for front in FRONTS {
        let mut pair = Pair::start(front, &[]);
        let hanging = Hanging::new();
        let address = hanging.address().to_string();
        let mut dial = start("dial", &through(&pair, front), &[&address]);
        pair.server.reaches(PENDING, 1.0);
        hanging.until_tried(true);
        dial.kill().unwrap();
        dial.wait().unwrap();
        hanging.until_tried(false);
        pair.finish();
    }
}

#[test]
fn flags_that_would_mean_nothing_are_refused() {
    for flags in [
        &["--uds=x", "--service=etcd"][..],
        &["--url=http://a:1", "--service=etcd"],
        &["--config=x", "--mode=grpc"],
        &["--config=x", "--ca-cert=y"],
        &["--uds=x", "--ca-cert=y"],
        &["--uds=x", "--client-cert=y", "--client-key=z"],
        &["--uds=x", "--tls-server-name=y"],
        &["--uds=x", "--url=http://a:1"],
        &["--config=x", "--uds=y"],
    ] {
        let refused = Command::new(DIALBACK)
            .arg("dial")
            .args(flags)
            .arg("a:1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(1), "{flags:?}");
        let told = told(&refused);
        assert!(told.contains("cannot be used with"), "{flags:?}: {told}");
    }
}

#[test]
fn a_configuration_leads_through_its_services() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let file = pair.site.file("egress.yaml");
    let text = format!(
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n\
         - name: cluster\n  connection:\n    proxyProtocol: HTTPConnect\n    transport:\n      \
         uds: {{udsName: {}}}\n",
        pair.site.socket().display()
    );
    std::fs::write(&file, &text).unwrap();
    let flags = [format!("--config={}", file.display())];
    let output = run("dial", &flags, &[&line().to_string()], b"hello\n");
    assert_eq!(output.stdout, b"you said hello\n", "{}", told(&output));
    let other = run("dial", &flags, &["--service=etcd", "a:1"], b"");
    assert_eq!(other.status.code(), Some(1));
    assert!(told(&other).contains("configured are cluster"));
    std::fs::write(&file, text.replace("transport", "transports")).unwrap();
    let strict = run("dial", &flags, &["a:1"], b"");
    assert!(told(&strict).contains("connection.transports\" (line 7)"));
    pair.finish();
}
