//! What kube-apiserver has no say in: lines, bounds, the other format, routes. Its verdicts are in
//! `tests/egress.rs`.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;
use crate::yaml::{self, YamlError};

fn everything(_: &str) -> bool {
    true
}

fn refused(text: &str) -> String {
    let refused = ConnectivityConfig::parse(text, |file| !file.starts_with("no-"));
    refused.unwrap_err().to_string()
}

fn service(connection: &str) -> String {
    format!(
        "apiVersion: apiserver.k8s.io/v1alpha1\nkind: ConnectivityServiceConfiguration\n\
         connectionServices:\n- name: cluster\n  connection: {connection}\n"
    )
}

fn egress(selection: &str) -> String {
    format!(
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n{selection}"
    )
}

#[test]
fn all_unknown_fields_are_told_with_path_and_line() {
    let text = egress(
        "- name: etcd\n  foo: {}\n  connection:\n    proxyProtocol: Direct\n    bar: 1\n- nome: x\n",
    );
    assert_eq!(
        refused(&format!("{text}spec: 1\n")),
        "strict decoding error: unknown field \"egressSelections[0].connection.bar\" (line 8), \
         unknown field \"egressSelections[0].foo\" (line 5), \
         unknown field \"egressSelections[1].nome\" (line 9), unknown field \"spec\" (line 10)"
    );
    assert_eq!(
        refused(&egress("- name: 1\n  name: 2\n")),
        "yaml: line 5: key \"name\" already set in map"
    );
    assert_eq!(
        refused(&egress("- name: [a]\n")),
        "strict decoding error: field \"egressSelections[0].name\" is to be a string, not a list (line 4)"
    );
    assert!(refused("a: [").starts_with("yaml: line "));
}

#[test]
fn the_original_design_is_read() {
    let text = "
apiVersion: apiserver.k8s.io/v1alpha1
kind: ConnectivityServiceConfiguration
connectionServices:
- name: cluster
  connection:
    type: http-connect
    httpConnect: { url: \"https://127.0.0.1:8131\", caBundle: ca.crt, clientKey: client.key, clientCert: client.crt }
- name: master
  connection: { type: direct }
- name: etcd
  connection: { type: direct }
- name: Mine
  connection:
    type: grpc
    grpc: { url: \"https://[::1]:8131\", caFile: ca.crt, clientKeyFile: client.key, clientCertFile: client.crt, tlsServerName: proxy }
";
    let config = ConnectivityConfig::parse(text, everything).unwrap();
    let names: Vec<_> = config.services().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["cluster", "controlplane", "etcd", "mine"]);
    for name in ["master", "MASTER", "controlplane", "etcd"] {
        assert_eq!(config.route(name), Some(&Route::Direct), "{name}");
    }
    assert_eq!(config.route("node"), None);
    let files = |server_name: Option<&str>| TlsFiles {
        ca: Some(PathBuf::from("ca.crt")),
        client: Some((PathBuf::from("client.crt"), PathBuf::from("client.key"))),
        server_name: server_name.map(str::to_owned),
    };
    let tcp = |host: &str, tls| {
        ProxyAddress::Tcp(TcpProxy {
            host: host.to_owned(),
            port: 8131,
            tls: Some(tls),
        })
    };
    assert_eq!(
        config.route("cluster"),
        Some(&Route::HttpConnect(tcp("127.0.0.1", files(None))))
    );
    assert_eq!(
        config.route("mine"),
        Some(&Route::Grpc(tcp("::1", files(Some("proxy")))))
    );
}

#[test]
fn what_the_original_format_gets_wrong_is_told() {
    let table = [
        (
            "{type: http-connect}",
            "type \"http-connect\" needs its own block, and no other",
        ),
        (
            "{type: direct, grpc: {}}",
            "type \"direct\" needs its own block, and no other",
        ),
        (
            "{type: GRPC}",
            "unknown type \"GRPC\", supported are \"direct\", \"http-connect\", \"grpc\"",
        ),
        (
            "{type: grpc, grpc: {}}",
            "exactly one of url and udsName is to be set",
        ),
        (
            "{type: grpc, grpc: {udsName: /s, url: 'http://a:1'}}",
            "exactly one of url and udsName is to be set",
        ),
        (
            "{type: grpc, grpc: {udsName: /s, caFile: ca.crt}}",
            "certificates are given, but the connection is without TLS",
        ),
        (
            "{type: grpc, grpc: {url: 'https://a:1'}}",
            "https needs clientCert and clientKey",
        ),
        (
            "{type: grpc, grpc: {url: 'https://a:1', clientCert: a, clientKey: no-key}}",
            "file \"no-key\" does not exist",
        ),
    ];
    for (connection, problem) in table {
        assert_eq!(
            refused(&service(connection)),
            format!("connectivity service \"cluster\": {problem}")
        );
    }
    assert_eq!(
        refused(&format!(
            "{}- connection: {{type: direct}}\n",
            service("{type: direct}")
        )),
        "connectivity service 1 has no name"
    );
    assert_eq!(
        refused(&format!(
            "{}- {{name: Cluster, connection: {{type: direct}}}}\n",
            service("{type: direct}")
        )),
        "connectivity service \"cluster\" is given twice"
    );
    assert_eq!(
        refused(&service("{type: direct, kind: x}")),
        "strict decoding error: unknown field \"connectionServices[0].connection.kind\" (line 5)"
    );
}

#[test]
fn urls_are_a_scheme_a_host_and_a_port() {
    for (url, host, port) in [
        ("http://a:1", "a", 1),
        ("http://10.0.0.1:65535/", "10.0.0.1", 65535),
        ("https://[fe80::1%25eth0]:443", "fe80::1%25eth0", 443),
    ] {
        let proxy = TcpProxy::from_url(url).unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), (host, port));
        assert_eq!(proxy.tls.is_some(), url.starts_with("https"));
    }
    for url in [
        "http://",
        "http://a",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a:+1",
        "http://:1",
        "http://::1:1",
        "http://[a]:1",
        "http://a:1/b",
        "http://u@a:1",
        "http://a:1?b",
        "http://a b:1",
    ] {
        assert_eq!(
            TcpProxy::from_url(url),
            Err(RouteError::Url(url.to_owned()))
        );
    }
    assert_eq!(
        TcpProxy::from_url("a:1"),
        Err(RouteError::Scheme("a:1".to_owned()))
    );
    // kube-apiserver takes it, and then fails every dial.
    assert!(
        refused(&egress(
            "- name: etcd\n  connection: {proxyProtocol: HTTPConnect, transport: {tcp: {url: 'http://a'}}}\n"
        ))
        .ends_with("such as https://127.0.0.1:8131")
    );
}

#[test]
fn documents_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(yaml::parse(&nested(33)).is_ok());
    assert!(matches!(
        yaml::parse(&nested(34)),
        Err(YamlError::TooDeep { line: 1 })
    ));
    assert!(matches!(
        yaml::parse(&" ".repeat(1024 * 1024 + 1)),
        Err(YamlError::TooLarge)
    ));
    // A billion laughs.
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for at in 1..9 {
        let before = format!("*a{}, ", at - 1).repeat(9);
        writeln!(text, "a{at}: &a{at} [{before}*a{}]", at - 1).unwrap();
    }
    assert!(matches!(
        yaml::parse(&text),
        Err(YamlError::TooManyValues { .. })
    ));
    assert!(matches!(
        yaml::parse("a: &a [*a]\n"),
        Err(YamlError::Syntax { line: 1, .. })
    ));
}

#[test]
fn any_text_is_read_or_refused() {
    fn reads(text: String) -> bool {
        let _ = ConnectivityConfig::parse(&text, everything);
        let _ = ConnectivityConfig::parse(&egress(&text), everything);
        true
    }
    quickcheck::quickcheck(reads as fn(String) -> bool);
}
