//! Agents that have to show a token: what they are told, and that nobody waits for another's token.

use std::sync::Arc;
use std::time::Duration;

use dialback_runtime::metrics::render;
use dialback_runtime::server::{
    AgentAuthenticator, AgentIdentity, AgentRefused, Authentication, BearerToken, ServerConfig,
};
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::call::{CONNECT, Connection, End};
use dialback_tests::peers::{PlayedAgent, agent_tls};
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::{eventually, within};
use tokio::sync::Notify;

/// Lets in whoever shows `good`, after `opened` whoever shows `slow`, and never answers `never`.
#[derive(Debug, Default)]
struct Doorkeeper {
    opened: Arc<Notify>,
}

impl AgentAuthenticator for Doorkeeper {
    fn authenticate(&self, token: &BearerToken) -> Authentication {
        let opened = Arc::clone(&self.opened);
        match token.secret() {
            "good" => Box::pin(async { Ok(AgentIdentity::new("good")) }),
            "slow" => Box::pin(async move {
                opened.notified().await;
                Ok(AgentIdentity::new("slow"))
            }),
            "never" => Box::pin(std::future::pending()),
            _ => Box::pin(async {
                let reason = std::io::Error::other("lookup failed: service account jwt not valid");
                Err(AgentRefused::Rejected(Arc::new(reason)))
            }),
        }
    }
}

fn server(pki: &Pki, handshake_timeout: Duration) -> (RunningServer, Arc<Notify>) {
    let doorkeeper = Doorkeeper::default();
    let opened = Arc::clone(&doorkeeper.opened);
    let options = ServerOptions {
        config: ServerConfig {
            authenticator: Some(Arc::new(doorkeeper)),
            handshake_timeout,
            ..ServerConfig::default()
        },
        ..ServerOptions::default()
    };
    (RunningServer::start(pki, options), opened)
}

fn refused(text: &str) -> End {
    End::Status("2".to_owned(), text.to_owned())
}

fn shows(server: &RunningServer, series: &str) -> bool {
    let text = render::<&str>(server.server.metrics().registry(), &[]);
    text.lines().any(|line| line == series)
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_token_is_asked_for_and_looked_at() {
    run(async |_log| {
        let pki = Pki::new();
        let (server, _) = server(&pki, MINUTE);
        let at = server.agent_address;
        let id = ("agentid", "a");
        let cases: [(&[(&'static str, &str)], &str); 4] = [
            (&[id], "Authentication context was not found in metadata"),
            (
                &[
                    id,
                    ("authorization", "Bearer a"),
                    ("authorization", "Bearer b"),
                ],
                "too many (2) tokens are received",
            ),
            (
                &[id, ("authorization", "Basic good")],
                "received token does not have \"Bearer \" prefix",
            ),
            (
                &[id, ("authorization", "Bearer bad")],
                "Failed to validate authentication token, err:lookup failed: service account jwt not valid",
            ),
        ];
        for (metadata, text) in cases {
            let end = PlayedAgent::connect_with(&pki, at, metadata).await.err();
            assert_eq!(end, Some(refused(text)));
        }
        assert_eq!(
            server.server.complaints(),
            [format!("an agent was refused: {}", cases[3].1)]
        );
        // What an agent says about itself is looked at first.
        let nobody = [("authorization", "Bearer bad")];
        let end = PlayedAgent::connect_with(&pki, at, &nobody).await.err();
        assert_eq!(
            end,
            Some(refused("expected one agent ID in the context, got []"))
        );

        let good = [id, ("authorization", "Bearer good")];
        let agent = PlayedAgent::connect_with(&pki, at, &good).await;
        assert!(agent.is_ok());
        assert!(server.server.is_ready());
        let failures = "dialback_agent_authentication_failures_total";
        for cause in ["no_token", "too_many_tokens", "not_bearer", "rejected"] {
            assert!(
                shows(&server, &format!("{failures}{{cause=\"{cause}\"}} 1")),
                "{cause}"
            );
        }
        assert!(shows(
            &server,
            &format!("{failures}{{cause=\"timed_out\"}} 0")
        ));
        let taken = "dialback_agent_calls_total";
        for (proof, count) in [
            ("certificate_and_token", 1),
            ("certificate", 0),
            ("none", 0),
        ] {
            let line = format!("{taken}{{authentication=\"{proof}\"}} {count}");
            assert!(shows(&server, &line), "{line}");
        }
        drop(agent);
        server.stop(Duration::ZERO).await;
    });
}

/// Or nobody could tell from outside why an agent is not ready.
#[test]
fn a_refused_agent_says_what_it_was_told() {
    run(async |_log| {
        let pki = Pki::new();
        let (server, _) = server(&pki, MINUTE);
        let at = server.agent_address;
        let agent = RunningAgent::start(&pki, at, AgentOptions::default());
        eventually("a refusal", || agent.agent.complaints().len() > 1).await;
        assert_eq!(
            agent.agent.complaints(),
            [
                "connected to 0 of 1 servers",
                "last attempt to connect failed: server refused the connection: \
                 rpc error: code = Unknown desc = Authentication context was not found in metadata",
            ]
        );
        agent.stop().await;
        server.stop(Duration::ZERO).await;
    });
}

#[test]
fn nobody_waits_for_the_token_of_another() {
    run(async |_log| {
        let pki = Pki::new();
        let (server, opened) = server(&pki, MINUTE);
        let tls = agent_tls(&pki, server.agent_address).await;
        let mut connection = Connection::start(tls).await;
        let slow = [("agentid", "slow"), ("authorization", "Bearer slow")];
        let good = [("agentid", "good"), ("authorization", "Bearer good")];
        let mut waiting = connection.call(CONNECT, &slow).await;
        // On the same connection, and on another one.
        let mut beside = connection.call(CONNECT, &good).await;
        within("the one beside is accepted", beside.receiver.headers())
            .await
            .unwrap();
        let other = PlayedAgent::connect_with(&pki, server.agent_address, &good).await;
        assert!(other.is_ok());
        assert_eq!(server.server.tunnel_count(), 2);
        opened.notify_one();
        within("the slow one is accepted", waiting.receiver.headers())
            .await
            .unwrap();
        assert_eq!(server.server.tunnel_count(), 3);
        drop((connection, other));
        server.stop(Duration::ZERO).await;
    });
}

#[test]
fn an_agent_waits_no_longer_than_a_handshake_may_take() {
    run(async |_log| {
        let pki = Pki::new();
        let (server, _) = server(&pki, Duration::from_millis(500));
        let never = [("agentid", "a"), ("authorization", "Bearer never")];
        let end = PlayedAgent::connect_with(&pki, server.agent_address, &never).await;
        let text = "Failed to validate authentication token, err:no answer in time";
        assert_eq!(end.err(), Some(refused(text)));
        server.stop(Duration::ZERO).await;
    });
}

#[test]
fn an_agent_that_gave_up_is_forgotten() {
    run(async |_log| {
        let pki = Pki::new();
        let (server, _) = server(&pki, MINUTE);
        let calls =
            "konnectivity_network_proxy_server_grpc_connections{service_method=\"Connect\"}";
        let tls = agent_tls(&pki, server.agent_address).await;
        let mut connection = Connection::start(tls).await;
        let never = [("agentid", "a"), ("authorization", "Bearer never")];
        let call = connection.call(CONNECT, &never).await;
        eventually("the call waits", || shows(&server, &format!("{calls} 1"))).await;
        drop(call);
        eventually("the call is gone", || shows(&server, &format!("{calls} 0"))).await;
        drop(connection);
        server.stop(Duration::ZERO).await;
    });
}
