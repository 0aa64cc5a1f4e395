//! `dialback doctor frontend`: to an endpoint, and to what is no listener for frontends.

use std::os::unix::net::UnixListener;

use super::{Examined, trusts};
use crate::endpoints::{Hanging, echo};
use crate::support::pair::{Front, Pair, Site};
use crate::tool::{closed, through};

#[test]
fn a_frontend_gets_to_an_endpoint_by_an_agent() {
    for front in [
        Front::GrpcUnix,
        Front::GrpcTcp,
        Front::ConnectUnix,
        Front::ConnectTcp,
    ] {
        let pair = Pair::start_with(front, &[], &["--agent-id=node-1"]);
        let flags = through(&pair, front);
        let endpoint = echo().to_string();
        let examined = Examined::new("frontend", &flags, &[&endpoint]);
        assert_eq!(examined.code, Some(0), "{front:?}: {:#}", examined.report);
        let (_, told, _) = examined.hop("dial");
        let start = format!("{endpoint}: connected by agent node-1 in ");
        assert!(told.starts_with(&start), "{told}");

        let unnamed = Examined::new("frontend", &flags, &[]);
        assert_eq!((unnamed.code, unnamed.hop("dial").0), (Some(0), "skip"));
        let address = closed(&pair).to_string();
        let refused = Examined::new("frontend", &flags, &[&address]);
        assert_eq!(refused.code, Some(1));
        let (_, told, advice) = refused.hop("dial");
        assert!(told.contains("connection refused"), "{told}");
        assert!(advice.contains("nothing listens on that port"), "{advice}");
        pair.finish();
    }
}

#[test]
fn an_endpoint_that_does_not_answer_is_waited_for_only_so_long() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let hanging = Hanging::new();
    let address = hanging.address().to_string();
    let flags = through(&pair, Front::ConnectUnix);
    let silent = Examined::new("frontend", &flags, &["--dial-timeout=300ms", &address]);
    assert_eq!(silent.code, Some(1));
    let (verdict, told, advice) = silent.hop("dial");
    assert_eq!(verdict, "fail");
    assert!(told.contains("timed out"), "{told}");
    assert!(advice.contains("NetworkPolicy"), "{advice}");
    pair.finish();
}

#[test]
fn a_server_without_agents_is_told_from_an_endpoint_that_is_not_there() {
    let site = Site::new();
    let server = site.start_server(Front::GrpcUnix, &[]);
    let uds = format!("--uds={}", site.socket().display());
    let alone = Examined::new("frontend", &[uds], &["127.0.0.1:9"]);
    assert_eq!(alone.code, Some(1));
    assert_eq!(alone.hop("frontend").0, "ok");
    let (_, told, advice) = alone.hop("dial");
    assert!(told.contains("No agent available"), "{told}");
    assert!(advice.contains("dialback doctor agent"), "{advice}");
    drop(server);
}

#[test]
fn a_listener_of_another_kind_is_recognised() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let site = &pair.site;
    let uds = |path: &std::path::Path| format!("--uds={}", path.display());
    let connect = "--mode=http-connect".to_owned();
    let agents = vec![
        format!("--url=https://{}", site.agents()),
        trusts(site, "cluster-ca.crt"),
        format!("--client-cert={}", site.file("agent.crt").display()),
        format!("--client-key={}", site.file("agent.key").display()),
    ];
    let health = format!("--url=http://{}", site.at(8092));
    let left_behind = site.file("left-behind.sock");
    drop(UnixListener::bind(&left_behind).unwrap());
    let silent = site.file("silent.sock");
    let _silent = UnixListener::bind(&silent).unwrap();
    for (flags, hop, reason) in [
        (agents, "frontend", "no listener for frontends"),
        (
            vec![uds(&site.socket()), connect.clone()],
            "frontend",
            "HTTP",
        ),
        (vec![health.clone()], "frontend", "connection closed"),
        (
            vec![health, connect.clone()],
            "frontend",
            "as no proxy server does (404)",
        ),
        (vec![uds(&site.file("nothing"))], "socket", "No such file"),
        (vec![uds(&left_behind)], "socket", "refused"),
        (
            vec![uds(&silent), connect, "--timeout=300ms".to_owned()],
            "frontend",
            "no answer to an HTTP request within 300ms",
        ),
    ] {
        Examined::new("frontend", &flags, &["a:1"]).assert_fails_at(hop, reason, "dial");
    }
    pair.finish();

    let pair = Pair::start(Front::ConnectTcp, &[]);
    let mut flags = through(&pair, Front::ConnectTcp);
    flags.retain(|flag| !flag.starts_with("--mode"));
    let grpc = Examined::new("frontend", &flags, &["a:1"]);
    assert_eq!(grpc.code, Some(1), "{:#}", grpc.report);
    flags.retain(|flag| !flag.starts_with("--client"));
    flags.push("--mode=http-connect".to_owned());
    let bare = Examined::new("frontend", &flags, &["a:1"]);
    bare.assert_fails_at("client-certificate", "was shown none", "dial");
    pair.finish();
}
