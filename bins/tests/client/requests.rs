//! `dialback request`, `dialback test-client` and `dialback test-server`.

use crate::endpoints::{secure_web, web};
use crate::support::pair::{Front, Pair};
use crate::tool::{closed, run, through, told};

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
