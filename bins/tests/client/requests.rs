//! `dialback request`, `dialback test-client` and `dialback test-server`.

use crate::endpoints::{secure_web, web};
use crate::support::pair::{Front, Pair};
use crate::tool::{Listening, closed, run, through, told};

#[test]
fn requests_are_sent_and_counted() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let url = format!("http://{}/a?b", web());
    let arguments = ["--count=20", "--method=PUT", "--body", &url];
    let output = run("request", &flags, &arguments, b"");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("PUT /a?b HTTP/1.1\n").count(), 20, "{text}");
    assert_eq!(text.matches(": 200, 18 bytes, ").count(), 20, "{text}");
    let url = format!("http://{}/", closed(&pair));
    let failed = run("request", &flags, &["--count=2", &url], b"");
    assert_eq!(failed.status.code(), Some(3));
    assert!(told(&failed).ends_with("dialback: 2 of 2 failed\n"));
    let once = run("request", &flags, &[&url], b"");
    assert_eq!(once.status.code(), Some(3));
    assert_eq!(told(&once).lines().count(), 1, "{}", told(&once));
    let nobody = ["--uds=/nonexistent/socket".to_owned()];
    let nobody = run("request", &nobody, &["--count=2", &url], b"");
    assert_eq!(nobody.status.code(), Some(2), "{}", told(&nobody));
    pair.finish();
}

#[test]
fn requests_go_to_https_targets_too() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let flags = through(&pair, Front::ConnectUnix);
    let url = format!("https://{}/", secure_web(&pair));
    let ca = |name: &str| format!("--target-ca={}", pair.site.file(name).display());
    let output = run(
        "request",
        &flags,
        &["--body", &ca("server-ca.crt"), &url],
        b"",
    );
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("secret1: 200, 6 bytes, "), "{text}");
    for (flag, code, words) in [
        (ca("cluster-ca.crt"), 5, "UnknownIssuer"),
        (ca("none"), 1, "--target-ca: cannot read"),
    ] {
        let refused = run("request", &flags, &[&flag, &url], b"");
        assert_eq!(refused.status.code(), Some(code), "{}", told(&refused));
        assert!(told(&refused).contains(words), "{}", told(&refused));
    }
    pair.finish();
}

/// The reference's pair of test programs, with its flags: client and server are on either side of the daemons.
#[test]
fn the_test_programs_take_the_flags_of_the_references() {
    for front in [Front::GrpcUnix, Front::ConnectTcp] {
        let pair = Pair::start(front, &[]);
        let ip = pair.site.ip();
        let listen = format!("--listen={}", pair.site.at(8000));
        let mut server = Listening::start("test-server", &[], &[&listen]);
        server.address();
        let file = |flag: &str, name: &str| format!("--{flag}={}", pair.site.file(name).display());
        let mut flags = match front {
            Front::GrpcUnix | Front::ConnectUnix => vec![
                format!("--proxy-uds={}", pair.site.socket().display()),
                "--proxy-host=".to_owned(),
                "--proxy-port=0".to_owned(),
                "--mode=grpc".to_owned(),
            ],
            Front::GrpcTcp | Front::ConnectTcp => vec![
                format!("--proxy-host={ip}"),
                "--mode=http-connect".to_owned(),
                file("ca-cert", "server-ca.crt"),
                file("client-cert", "client.crt"),
                file("client-key", "client.key"),
            ],
        };
        flags.push(format!("--request-host={ip}"));
        let several = ["--test-requests=3", "--close-idle-conn=true", "-v=4"];
        let output = run("test-client", &flags, &several, b"");
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        assert_eq!(
            told(&output).matches("HTML Response:\n<!DOCTYPE").count(),
            3
        );
        // Any answer will do, and quietly.
        let error = ["--request-path=error", "-v=1"];
        let output = run("test-client", &flags, &error, b"");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(told(&output), "");
        let closed = ["--request-path=close", "--test-requests=2"];
        let output = run("test-client", &flags, &closed, b"");
        assert_eq!(output.status.code(), Some(1));
        let text = told(&output);
        assert!(text.ends_with("dialback: Requests failed: 2\n"), "{text}");
        let start = std::time::Instant::now();
        let delays = ["--test-requests=2", "--test-delay=1", "--after-delay=1"];
        let output = run("test-client", &flags, &delays, b"");
        assert_eq!(output.status.code(), Some(0));
        assert!(start.elapsed() >= std::time::Duration::from_secs(2));
        let odd = run("test-client", &flags, &["--test-requests=0"], b"");
        assert_eq!(odd.status.code(), Some(1));
        assert_eq!(
            told(&odd),
            "dialback: failed to validate proxy client options, got: please do not ask for fewer than \
             1 test request(0)\n"
        );
        server.finish();
        pair.finish();
    }
}
