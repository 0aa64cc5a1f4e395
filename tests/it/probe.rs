//! Probes: somebody who asks a server what it would tell an agent, and does not become one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dialback_core::wire::Extensions;
use dialback_runtime::agent::{Probe, ProbeAnswer, ProbeError};
use dialback_runtime::grpc::{NoAnswer, Target};
use dialback_runtime::server::{
    AgentAuthenticator, AgentIdentity, AgentRefused, Authentication, BearerToken, ServerConfig,
};
use dialback_tests::call::framed;
use dialback_tests::peers::{PlayedServer, agent_tls};
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tokio::TokioRuntime;
use tracing::Level;

async fn ask(
    pki: &Pki,
    server: SocketAddr,
    token: Option<&str>,
) -> Result<ProbeAnswer, ProbeError> {
    let probe = Probe {
        agent_id: "probe".to_owned(),
        token: token.map(BearerToken::from),
    };
    let runtime = TokioRuntime::current().unwrap();
    let tls = agent_tls(pki, server).await;
    let target = Target::new(true, &server.to_string()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    probe.ask(&runtime, tls, target, deadline).await
}

/// Lets in whoever shows `good`.
#[derive(Debug)]
struct Doorkeeper;

impl AgentAuthenticator for Doorkeeper {
    fn authenticate(&self, token: &BearerToken) -> Authentication {
        let answer = match token.secret() {
            "good" => Ok(AgentIdentity::new("good")),
            _ => Err(AgentRefused::Rejected(Arc::new(std::io::Error::other(
                "no",
            )))),
        };
        Box::pin(async { answer })
    }
}

#[test]
fn a_probe_hears_what_an_agent_would_and_is_never_one() {
    run(async |log| {
        let pki = Pki::new();
        for plain in [false, true] {
            let config = ServerConfig {
                server_count: 3,
                ..ServerConfig::default()
            };
            let options = ServerOptions {
                config,
                plain,
                ..ServerOptions::default()
            };
            let server = RunningServer::start(&pki, options);
            let answer = ask(&pki, server.agent_address, None).await.unwrap();
            assert_eq!(answer.server_id, "server-1");
            assert_eq!(answer.server_count, 3);
            assert!(answer.knows_probes);
            let extended = answer.extensions;
            assert_eq!(extended == Extensions::NONE, plain);
            assert_eq!(extended.resume && extended.half_close, !plain);
            server.stop(Duration::ZERO).await;
        }
        assert_eq!(log.count(Level::INFO, &["agent connected"]), 0);
    });
}

#[test]
fn a_probes_token_is_looked_at() {
    run(async |_log| {
        let pki = Pki::new();
        let config = ServerConfig {
            authenticator: Some(Arc::new(Doorkeeper)),
            ..ServerConfig::default()
        };
        let options = ServerOptions {
            config,
            ..ServerOptions::default()
        };
        let server = RunningServer::start(&pki, options);
        let at = server.agent_address;
        assert!(ask(&pki, at, Some("good")).await.is_ok());
        for (token, text) in [
            (None, "Authentication context was not found in metadata"),
            (
                Some("bad"),
                "Failed to validate authentication token, err:no",
            ),
        ] {
            match ask(&pki, at, token).await {
                Err(ProbeError::NoAnswer(NoAnswer::Refused(status))) => {
                    assert_eq!(status.message, text);
                }
                other => panic!("{other:?}"),
            }
        }
        server.stop(Duration::ZERO).await;
    });
}

/// A server that takes the probe for an agent finds it draining and ended when it first reads.
#[test]
fn a_probe_is_over_before_konnectivity_could_use_it() {
    run(async |_log| {
        let pki = Pki::new();
        let server = PlayedServer::start(&pki).await;
        let konnectivity = async {
            let (request, mut respond, driver) = server.accept_call().await;
            let mut body = request.into_body();
            let mut said = Vec::new();
            while let Some(data) = body.data().await {
                said.extend(data.unwrap());
            }
            assert_eq!(said, framed(b"\x08\x06\x42\x00"), "DRAIN, and the end");
            let response = http::Response::builder()
                .header("content-type", "application/grpc")
                .header("serverid", "go")
                .header("servercount", "2")
                .body(())
                .unwrap();
            let mut call = respond.send_response(response, false).unwrap();
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            call.send_trailers(trailers).unwrap();
            driver
        };
        let (answer, _driver) = tokio::join!(ask(&pki, server.address, None), konnectivity);
        let expected = ProbeAnswer {
            server_id: "go".to_owned(),
            server_count: 2,
            extensions: Extensions::NONE,
            knows_probes: false,
        };
        assert_eq!(answer.unwrap(), expected);
    });
}
