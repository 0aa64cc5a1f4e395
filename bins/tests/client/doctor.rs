//! `dialback doctor`, on ways that work and on ways that do not.

mod frontend;

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dialback_bins::certs::{CertificateFiles, CertificateSet, SubjectName};
use dialback_runtime::listen::bind_tcp;
use dialback_runtime::metrics::ServerMetrics;
use dialback_runtime::server::{
    AgentAuthenticator, AgentIdentity, AgentRefused, Authentication, BearerToken, Server,
    ServerConfig,
};
use dialback_runtime::tls::{KeyPairFiles, ServerTls, TlsPolicy, TlsProtocol};
use dialback_runtime::{Listener as _, Runtime as _};
use dialback_tokio::TokioRuntime;
use serde_json::Value;

use crate::endpoints::{Hanging, endpoint};
use crate::support::pair::{Front, Pair, Site};
use crate::tool::{DIALBACK, closed, run, told};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the doctor says, for scripts, and its exit code.
struct Examined {
    code: Option<i32>,
    report: Value,
}

impl Examined {
    fn new(role: &str, flags: &[String], arguments: &[&str]) -> Self {
        Self::through_http_proxy("", role, flags, arguments)
    }

    /// As [`Examined::new`], where the environment names an HTTP proxy.
    fn through_http_proxy(proxy: &str, role: &str, flags: &[String], arguments: &[&str]) -> Self {
        let output = Command::new(DIALBACK)
            .args(["doctor", role, "--json"])
            .args(flags)
            .args(arguments)
            .env("HTTPS_PROXY", proxy)
            .env_remove("https_proxy")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text}{}", told(&output)));
        Self {
            code: output.status.code(),
            report,
        }
    }

    /// The verdict on a hop, what is told of it, and the advice.
    fn hop(&self, hop: &str) -> (&str, &str, &str) {
        let found = self.report["hops"].as_array().unwrap().iter();
        let hops: Vec<_> = found.filter(|found| found["hop"] == hop).collect();
        let [found] = hops[..] else {
            panic!("{} hops are {hop}: {:#}", hops.len(), self.report);
        };
        let text = |name: &str| found[name].as_str().unwrap_or_default();
        (text("verdict"), text("told"), text("advice"))
    }

    /// Everything up to a hop is well, that one fails for this reason, and the last was not tried.
    #[track_caller]
    fn assert_fails_at(&self, hop: &str, reason: &str, last: &str) {
        let (verdict, told, advice) = self.hop(hop);
        assert!(
            verdict == "fail" && told.contains(reason),
            "{:#}",
            self.report
        );
        assert!(!advice.is_empty(), "{:#}", self.report);
        let hops = self.report["hops"].as_array().unwrap().iter();
        let failed: Vec<_> = hops.filter(|found| found["verdict"] == "fail").collect();
        assert_eq!(failed.len(), 1, "{:#}", self.report);
        assert_eq!(self.hop(last).0, "skip", "{:#}", self.report);
        assert_eq!(self.code, Some(1));
    }
}

/// The flags of an agent of `site`.
fn agent(site: &Site) -> Vec<String> {
    [as_server(site), shows(site, "agent")].concat()
}

/// Those of them that are about the server.
fn as_server(site: &Site) -> Vec<String> {
    vec![
        format!("--proxy-server-host={}", site.ip()),
        trusts(site, "cluster-ca.crt"),
    ]
}

fn trusts(site: &Site, file: &str) -> String {
    format!("--ca-cert={}", site.file(file).display())
}

fn shows(site: &Site, stem: &str) -> Vec<String> {
    ["cert", "key"]
        .map(|part| {
            let end = if part == "cert" { "crt" } else { part };
            let file = site.file(&format!("{stem}.{end}"));
            format!("--agent-{part}={}", file.display())
        })
        .to_vec()
}

/// Gives `site` certificates for `names` alone, issued `before` and valid from then on for `valid`.
fn reissue(site: &Site, names: &[String], before: Duration, valid: Duration) {
    let names: Vec<SubjectName> = names.iter().map(|name| name.parse().unwrap()).collect();
    let set = CertificateSet::issue(&names, valid, SystemTime::now() - before).unwrap();
    CertificateFiles::write(site.file("").as_path(), &set, true).unwrap();
}

#[test]
fn every_host_of_an_agent_is_gone_to() {
    let (one, other) = (Site::new(), Site::new());
    let mut shared = one.share_certificates(&[&other]);
    shared.push("--server-count=2".to_owned());
    let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
    let _first = one.start_server(
        Front::ConnectUnix,
        &[&shared[..], &["--server-id=first"]].concat(),
    );
    let second = [&shared[..], &["--server-id=second"]].concat();
    let mut second = other.start_server(Front::ConnectUnix, &second);
    let more = format!("--proxy-server-host={}", other.ip());
    let examined = Examined::new("agent", &agent(&one), &[&more]);
    assert_eq!(examined.code, Some(0), "{:#}", examined.report);
    let (_, told, _) = examined.hop("servers");
    assert_eq!(told, "2 met, 2 announced");

    // One that is away is a fault, also when the other is well.
    second.kill();
    let examined = Examined::new("agent", &agent(&one), &[&more]);
    assert_eq!(examined.code, Some(1), "{:#}", examined.report);
    let (_, told, _) = examined.hop("servers");
    assert!(told.starts_with("1 met, 2 announced"), "{told}");
}

#[test]
fn an_agent_that_would_be_let_in_hears_so_and_none_is_connected() {
    let mut pair = Pair::start(Front::GrpcUnix, &["--server-id=the-server"]);
    let examined = Examined::new("agent", &agent(&pair.site), &[]);
    assert_eq!(examined.code, Some(0), "{:#}", examined.report);
    assert_eq!(examined.report["verdict"], "ok");
    let (_, told, _) = examined.hop("tunnel");
    assert!(
        told.contains("server \"the-server\", one of 1, speaks Dialback"),
        "{told}"
    );
    assert!(told.contains("resume/1"), "{told}");
    let (_, told, _) = examined.hop("client-certificate");
    assert!(told.ends_with("the server accepts this side's"), "{told}");
    let chain = &examined.report["hops"][4]["certificates"][0];
    assert_eq!(chain["subject"], "CN=dialback agent listener");

    let text = run(
        "doctor",
        &[&["agent".to_owned()], &agent(&pair.site)[..]].concat(),
        &[],
        b"",
    );
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("ok    ca "), "{text}");
    assert!(text.ends_with("\nall works\n"), "{text}");

    let connected = pair.server.logged().matches("agent connected").count();
    assert_eq!(connected, 1, "the agent alone");
    pair.server.reaches(
        "konnectivity_network_proxy_server_ready_backend_connections",
        1.0,
    );
    pair.finish();
}

#[test]
fn certificates_that_do_not_fit_each_other_are_told_apart() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let site = &pair.site;
    let host = format!("--proxy-server-host={}", site.ip());
    let other_ca = [
        &[host, trusts(site, "server-ca.crt")],
        &shows(site, "agent")[..],
    ]
    .concat();
    for (flags, hop, reason) in [
        (
            other_ca,
            "tls",
            "of an unknown CA \"CN=dialback cluster CA\"",
        ),
        (
            as_server(site),
            "client-certificate",
            "demands a client certificate and was shown none",
        ),
        (
            [as_server(site), shows(site, "client")].concat(),
            "client-certificate",
            "refuses this side's certificate",
        ),
    ] {
        Examined::new("agent", &flags, &[]).assert_fails_at(hop, reason, "tunnel");
    }
    let key = format!("--agent-key={}", site.file("client.key").display());
    let mixed = [&agent(site)[..3], &[key]].concat();
    let mixed = Examined::new("agent", &mixed, &[]);
    mixed.assert_fails_at("certificate", "private key does not match", "tls");
    assert_eq!(mixed.hop("tcp").0, "ok");
    pair.finish();
}

#[test]
fn a_certificate_out_of_its_time_fails_and_one_near_its_end_warns() {
    let site = Site::new();
    let names = [site.ip().to_string()];
    reissue(&site, &names, 30 * DAY, 27 * DAY);
    let server = site.start_server(Front::GrpcUnix, &[]);
    let expired = Examined::new("agent", &as_server(&site), &[]);
    expired.assert_fails_at("tls", "shows an expired certificate", "tunnel");
    assert!(
        expired.hop("tls").1.ends_with("3 days ago"),
        "{:#}",
        expired.report
    );
    assert_eq!(expired.hop("ca").0, "warn");
    let own = Examined::new("agent", &agent(&site), &[]);
    assert_eq!(own.hop("certificate").0, "fail");
    drop(server);

    reissue(&site, &names, Duration::ZERO, 10 * DAY);
    let server = site.start_server(Front::GrpcUnix, &[]);
    let ending = Examined::new("agent", &agent(&site), &[]);
    assert_eq!(ending.code, Some(0), "{:#}", ending.report);
    assert_eq!(ending.report["verdict"], "warn");
    for hop in ["ca", "certificate", "tls"] {
        assert_eq!(ending.hop(hop).0, "warn", "{:#}", ending.report);
    }
    assert_eq!(ending.hop("tunnel").0, "ok");
    drop(server);
}

#[test]
fn a_certificate_for_another_name_is_told_with_its_names() {
    let site = Site::new();
    reissue(&site, &["a.example".to_owned()], Duration::ZERO, 100 * DAY);
    let server = site.start_server(Front::ConnectTcp, &[]);
    let wrong = Examined::new("agent", &agent(&site), &[]);
    let reason = format!("is not for {}, but for a.example", site.ip());
    wrong.assert_fails_at("tls", &reason, "tunnel");
    let url = format!("--url=https://{}", site.frontends());
    let mut flags = vec![
        url,
        trusts(&site, "server-ca.crt"),
        "--mode=http-connect".to_owned(),
    ];
    for (flag, file) in [("cert", "client.crt"), ("key", "client.key")] {
        flags.push(format!("--client-{flag}={}", site.file(file).display()));
    }
    Examined::new("frontend", &flags, &["a:1"]).assert_fails_at("tls", &reason, "dial");
    let named = Examined::new("frontend", &flags, &["--tls-server-name=a.example"]);
    assert_eq!(named.code, Some(0), "{:#}", named.report);
    drop(server);
}

#[test]
fn a_server_that_is_not_there_is_told_from_one_that_does_not_answer() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let ca = trusts(&pair.site, "cluster-ca.crt");
    let at = |address: SocketAddr| {
        vec![
            format!("--proxy-server-host={}", address.ip()),
            format!("--proxy-server-port={}", address.port()),
            ca.clone(),
        ]
    };
    let refused = Examined::new("agent", &at(closed(&pair)), &[]);
    refused.assert_fails_at("tcp", "refused", "tls");
    let hanging = Hanging::new();
    let silent = Examined::new("agent", &at(hanging.address()), &["--timeout=300ms"]);
    silent.assert_fails_at("tcp", "no answer within 300ms", "tls");
    let health = Examined::new("agent", &at(pair.site.at(8092).into()), &[]);
    health.assert_fails_at("tls", "does not speak TLS", "tunnel");
    let nobody = Examined::new(
        "agent",
        &["--proxy-server-host=nowhere.invalid".to_owned(), ca.clone()],
        &[],
    );
    nobody.assert_fails_at("name", "nowhere.invalid can't be resolved", "tls");
    pair.finish();
}

/// An HTTP proxy that leads to `server` whatever it is asked for, and refuses what is not for `host`.
fn http_proxy(host: &'static str, server: SocketAddr) -> String {
    let address = endpoint(move |mut connection| {
        let mut request = BufReader::new(connection.try_clone()?).lines();
        let first = request.next().unwrap_or_else(|| Ok(String::new()))?;
        for line in request {
            if line?.is_empty() {
                break;
            }
        }
        if !first.starts_with(&format!("CONNECT {host}:")) {
            return connection.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n");
        }
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let mut tunnel = TcpStream::connect(server)?;
        let (mut there, mut back) = (tunnel.try_clone()?, connection.try_clone()?);
        std::thread::spawn(move || io::copy(&mut connection, &mut there));
        io::copy(&mut tunnel, &mut back)?;
        Ok(())
    });
    format!("http://{address}")
}

#[test]
fn the_http_proxy_of_the_environment_is_part_of_the_way() {
    let site = Site::new();
    reissue(
        &site,
        &["proxy.invalid".to_owned()],
        Duration::ZERO,
        100 * DAY,
    );
    let server = site.start_server(Front::GrpcUnix, &[]);
    let flags = [
        &["--proxy-server-host=proxy.invalid".to_owned()],
        &agent(&site)[1..],
    ]
    .concat();
    let http_proxy = |host| http_proxy(host, site.agents().into());
    let through = http_proxy("proxy.invalid");
    let led = Examined::through_http_proxy(&through, "agent", &flags, &[]);
    assert_eq!(
        (led.code, led.hop("tunnel").0),
        (Some(0), "ok"),
        "{:#}",
        led.report
    );
    assert!(
        led.hop("http-proxy")
            .1
            .starts_with("proxy.invalid:8091 through HTTP proxy 127.")
    );
    let elsewhere = http_proxy("other.invalid");
    let refused = Examined::through_http_proxy(&elsewhere, "agent", &flags, &[]);
    refused.assert_fails_at(
        "http-proxy",
        "refused a tunnel to proxy.invalid:8091: 403",
        "tls",
    );
    let socks = Examined::through_http_proxy("socks5://127.0.0.1:1", "agent", &flags, &[]);
    socks.assert_fails_at("http-proxy", "scheme", "tcp");
    drop(server);
}

/// Lets in whoever shows `good`, in the reference's words.
#[derive(Debug)]
struct Doorkeeper;

impl AgentAuthenticator for Doorkeeper {
    fn authenticate(&self, token: &BearerToken) -> Authentication {
        let answer = if token.secret() == "good" {
            Ok(AgentIdentity::new("good"))
        } else {
            let reason = io::Error::other("lookup failed: service account jwt not valid");
            Err(AgentRefused::Rejected(Arc::new(reason)))
        };
        Box::pin(async { answer })
    }
}

#[test]
fn a_token_is_looked_at_here_and_by_the_server() {
    let site = Site::new();
    let executor = tokio::runtime::Runtime::new().unwrap();
    let _entered = executor.enter();
    let runtime = TokioRuntime::current().unwrap();
    let tls = |client_ca| {
        let tls = ServerTls {
            pair: KeyPairFiles {
                certificate: site.file("cluster.crt"),
                key: site.file("cluster.key"),
            },
            client_ca,
            protocol: TlsProtocol::Grpc,
            policy: TlsPolicy::default(),
        };
        tls.load().unwrap()
    };
    let start = |authenticator: Option<Arc<dyn AgentAuthenticator>>| {
        let config = ServerConfig {
            authenticator,
            ..ServerConfig::default()
        };
        let strategies = "default".parse().unwrap();
        let metrics = Arc::new(ServerMetrics::default());
        let server = Server::new(runtime.clone(), config, strategies, metrics);
        let listener = runtime
            .tcp_listener(bind_tcp("127.0.0.1", 0).unwrap())
            .unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tls(None);
        executor.spawn(async move { server.serve_agents(listener, tls).await });
        vec![
            "--proxy-server-host=127.0.0.1".to_owned(),
            format!("--proxy-server-port={}", address.port()),
            trusts(&site, "cluster-ca.crt"),
        ]
    };
    let token = |name: &str, content: &str| {
        std::fs::write(site.file(name), content).unwrap();
        format!("--service-account-token-path={}", site.file(name).display())
    };

    let guarded = start(Some(Arc::new(Doorkeeper)));
    let good = [&guarded[..], &[token("good", "good\n")]].concat();
    let good = Examined::new("agent", &good, &[]);
    assert_eq!(good.code, Some(0), "{:#}", good.report);
    assert_eq!(good.hop("token-accepted").0, "ok");
    assert_eq!(good.hop("tunnel").0, "ok");
    // {"exp":1} between an empty header and no signature.
    for (content, here, there) in [
        ("bad", "ok", "--authentication-audience"),
        ("e30.eyJleHAiOjF9.x", "fail", "--authentication-audience"),
    ] {
        let flags = [&guarded[..], &[token("other", content)]].concat();
        let refused = Examined::new("agent", &flags, &[]);
        assert_eq!(refused.code, Some(1));
        assert_eq!(refused.hop("token").0, here, "{:#}", refused.report);
        let (verdict, _, advice) = refused.hop("token-accepted");
        assert!(verdict == "fail" && advice.contains(there), "{advice}");
    }
    let none = Examined::new("agent", &guarded, &[]);
    let (verdict, _, advice) = none.hop("token-accepted");
    assert!(verdict == "fail" && advice.contains("--service-account-token-path"));
    let missing = [
        &guarded[..],
        &["--service-account-token-path=/nonexistent".to_owned()],
    ];
    assert_eq!(
        Examined::new("agent", &missing.concat(), &[])
            .hop("token")
            .0,
        "fail"
    );

    let open = Examined::new("agent", &start(None), &[]);
    assert_eq!((open.code, open.hop("tunnel").0), (Some(0), "warn"));
    assert!(
        open.hop("client-certificate")
            .1
            .ends_with("the server asks for none")
    );
    executor.shutdown_background();
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    for flags in [
        &[][..],
        &["agent"],
        &["agent", "--ca-cert=x", "--agent-cert=y"],
        &["agent", "--ca-cert=x", "--proxy-server-port=0"],
        &["agent", "--ca-cert=x", "--timeout=0s"],
        &["frontend"],
        &["frontend", "--uds=x", "--url=http://a:1"],
        &["frontend", "--url=ftp://a"],
        &["frontend", "--url=http://a:1", "--ca-cert=x"],
    ] {
        let output = run("doctor", &[], flags, b"");
        assert_eq!(
            output.status.code(),
            Some(2),
            "{flags:?}: {}",
            told(&output)
        );
        assert!(!told(&output).is_empty(), "{flags:?}");
    }
    let help = run("doctor", &[], &["agent", "--help"], b"");
    assert_eq!(help.status.code(), Some(0));
    let missing = Examined::new("frontend", &["--config=/nonexistent".to_owned()], &["a:1"]);
    assert_eq!(
        (missing.code, missing.hop("configuration").0),
        (Some(1), "fail")
    );
}
