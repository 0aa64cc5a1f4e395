//! What is recorded of agents and streams.

use std::sync::Arc;

use dialback_core::audit::EventKind;
use dialback_core::policy::Policy;
use dialback_core::throttle::ThrottleConfig;
use dialback_runtime::server::{FrontendMode, ServerConfig};
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::audit::Recorded;
use dialback_tests::endpoint::{ClosedPort, Endpoint, HangingPort};
use dialback_tests::frontend::{GrpcFrontend, connect, dial_request, exchange};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::path::Path;
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::server::ServerOptions;
use dialback_tests::tunnel::Tunnel;
use dialback_tests::wait::{eventually, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn audited(recorded: &Arc<Recorded>) -> ServerConfig {
    ServerConfig {
        audit: Some(Arc::clone(recorded) as _),
        ..ServerConfig::default()
    }
}

async fn pair(recorded: &Arc<Recorded>, mode: FrontendMode) -> Pair {
    let mut options = PairOptions::default().mode(mode);
    options.server.config = audited(recorded);
    Pair::start(options).await
}

fn policy(rest: &str) -> Arc<Policy> {
    Arc::new(Policy::parse(&format!("apiVersion: dialback/v1\nkind: Policy\n{rest}")).unwrap())
}

#[test]
fn a_stream_is_recorded_from_its_request_to_its_end() {
    run(async |_| {
        for mode in [FrontendMode::HttpConnect, FrontendMode::Grpc] {
            let recorded = Recorded::new();
            let pair = pair(&recorded, mode).await;
            let echo = Endpoint::echo().await;
            let address = echo.address.to_string();
            let mut stream = Tunnel::dial(mode, &pair.socket(), &address).await.unwrap();
            stream.exchange(&[7; 100_000]).await;
            stream.close().await;
            let closed = recorded.newest(EventKind::StreamClosed, 1).await;
            let opened = recorded.newest(EventKind::StreamOpened, 1).await;
            assert_eq!(
                recorded.kinds(),
                [
                    EventKind::AgentConnected,
                    EventKind::StreamOpened,
                    EventKind::StreamClosed
                ]
            );
            for record in [&opened, &closed] {
                assert_eq!(record["stream"], 1);
                assert_eq!(record["destination"], address);
                assert_eq!(record["addressDialled"], address);
                assert_eq!(record["agent"]["id"], "agent-0");
                assert_eq!(record["agent"]["tunnel"], 1);
                assert_eq!(record["dial"]["connectId"], "1");
                let user = own_user();
                assert_eq!(record["frontend"]["userId"], user);
                assert_eq!(record["frontend"]["name"], format!("unix:uid={user}"));
                let is_grpc = mode == FrontendMode::Grpc;
                let (name, dial) = if is_grpc {
                    ("grpc", json!("7"))
                } else {
                    ("http-connect", Value::Null)
                };
                assert_eq!(record["frontend"]["mode"], name);
                assert_eq!(record["dial"]["frontendId"], dial);
            }
            assert!(opened["dialSeconds"].as_f64().unwrap() > 0.0);
            assert_eq!(
                closed["bytes"],
                json!({"toEndpoint": 100_000, "toFrontend": 100_000})
            );
            assert_eq!(closed["endedBy"], "frontend", "{closed}");
            assert_eq!(closed["reason"], "frontend_closed");
            pair.end().await;
            let lost = recorded.newest(EventKind::AgentLost, 1).await;
            assert_eq!(lost["reason"], "tunnel_ended");
        }
    });
}

/// The user that this process runs as.
fn own_user() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid()
}

#[test]
fn a_record_names_the_trace_of_its_request() {
    run(async |_| {
        let recorded = Recorded::new();
        let expected =
            json!({"id": "0af7651916cd43dd8448eb211c80319c", "parentId": "b7ad6b7169203331"});
        let closed = ClosedPort::new();
        {
            let pair = pair(&recorded, FrontendMode::HttpConnect).await;
            let mut socket = UnixStream::connect(pair.socket()).await.unwrap();
            let request = format!(
                "CONNECT {} HTTP/1.1\r\nHost: a\r\nTraceparent: {TRACE}\r\n\r\n",
                closed.address
            );
            socket.write_all(request.as_bytes()).await.unwrap();
            let failed = recorded.newest(EventKind::StreamFailed, 1).await;
            assert_eq!(failed["trace"], expected);
            drop(socket);
            pair.end().await;
        }
        let pair = pair(&recorded, FrontendMode::Grpc).await;
        let mut frontend =
            GrpcFrontend::start_with(&pair.socket(), &[("traceparent", TRACE)]).await;
        frontend
            .dial(&closed.address.to_string())
            .await
            .unwrap_err();
        let failed = recorded.newest(EventKind::StreamFailed, 2).await;
        assert_eq!(failed["trace"], expected);
        drop(frontend);
        pair.end().await;
    });
}

#[test]
fn a_dial_that_leads_to_nothing_is_recorded_once_with_its_reason() {
    run(async |_| {
        let recorded = Recorded::new();
        let pair = pair(&recorded, FrontendMode::HttpConnect).await;
        let closed = ClosedPort::new();
        connect(&pair.socket(), &closed.address.to_string())
            .await
            .unwrap_err();
        let failed = recorded.newest(EventKind::StreamFailed, 1).await;
        assert_eq!(failed["reason"], "error_response", "{failed}");
        assert_eq!(failed["endedBy"], "agent");
        assert_eq!(failed["agent"]["id"], "agent-0");
        assert!(failed["message"].as_str().unwrap().contains("refused"));

        // The frontend gives it up.
        let hanging = HangingPort::start().await;
        let mut socket = UnixStream::connect(pair.socket()).await.unwrap();
        let request = format!("CONNECT {} HTTP/1.1\r\nHost: a\r\n\r\n", hanging.address);
        socket.write_all(request.as_bytes()).await.unwrap();
        pair.server.streams(1).await;
        drop(socket);
        let failed = recorded.newest(EventKind::StreamFailed, 2).await;
        assert_eq!(failed["reason"], "frontend_close");

        pair.server.server.set_policy(policy(
            "rules: [{name: nowhere, action: deny, to: [{cidr: 127.0.0.0/8}]}]",
        ));
        connect(&pair.socket(), "127.0.0.1:1").await.unwrap_err();
        let denied = recorded.newest(EventKind::StreamDenied, 1).await;
        assert_eq!(denied["message"], "dial denied: rule \"nowhere\" denies it");
        assert_eq!(denied["endedBy"], "server");

        // In mode audit the dial goes on, and its record says so.
        pair.server
            .server
            .set_policy(policy("mode: audit\ndefault: deny"));
        let echo = Endpoint::echo().await;
        let stream = connect(&pair.socket(), &echo.address.to_string())
            .await
            .unwrap();
        let opened = recorded.newest(EventKind::StreamOpened, 1).await;
        assert_eq!(opened["wouldDeny"], "no rule allows it");
        drop(stream);
        pair.end().await;
        recorded.newest(EventKind::StreamClosed, 1).await;
        assert_eq!(recorded.kinds().len(), 7, "{:?}", recorded.kinds());
    });
}

#[test]
fn dials_over_a_limit_and_without_an_agent_are_recorded() {
    run(async |_| {
        let recorded = Recorded::new();
        let text = "apiVersion: dialback/v1\nkind: Throttle\nmaxWait: 0s\nlimits: [{name: one, per: total, streams: 1}]";
        let mut options = PairOptions::default();
        options.server.config = audited(&recorded);
        options.server.config.throttle = Some(ThrottleConfig::parse(text).unwrap());
        let pair = Pair::start(options).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let held = connect(&pair.socket(), &address).await.unwrap();
        connect(&pair.socket(), &address).await.unwrap_err();
        let throttled = recorded.newest(EventKind::StreamThrottled, 1).await;
        assert_eq!(throttled["retryAfterSeconds"], 1, "{throttled}");
        assert_eq!(throttled["stream"], 2);
        drop(held);
        recorded.newest(EventKind::StreamClosed, 1).await;
        pair.idle().await;
        let Pair { server, agents, .. } = pair;
        for agent in agents {
            agent.stop().await;
        }
        server.agents(0).await;
        connect(&server.socket(), &address).await.unwrap_err();
        let failed = recorded.newest(EventKind::StreamFailed, 1).await;
        assert_eq!(
            (&failed["reason"], &failed["agent"]),
            (&json!("no_agent"), &Value::Null)
        );
        server.stop(std::time::Duration::ZERO).await;
    });
}

#[test]
fn it_is_told_who_ended_a_stream_and_why() {
    run(async |_| {
        let recorded = Recorded::new();
        let pair = pair(&recorded, FrontendMode::HttpConnect).await;
        let mut ended = 0;
        let mut end = async |by: &str, reason: &str| {
            ended += 1;
            let closed = recorded.newest(EventKind::StreamClosed, ended).await;
            assert_eq!(
                (&closed["endedBy"], &closed["reason"]),
                (&json!(by), &json!(reason))
            );
            closed
        };
        let source = Endpoint::source(1000).await;
        let mut stream = connect(&pair.socket(), &source.address.to_string())
            .await
            .unwrap();
        within("the end", stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let closed = end("endpoint", "endpoint_closed").await;
        assert_eq!(closed["bytes"]["toFrontend"], 1000);

        let resetting = Endpoint::resetting(b"hello").await;
        let mut stream = connect(&pair.socket(), &resetting.address.to_string())
            .await
            .unwrap();
        stream.write_all(b"x").await.unwrap();
        let _ = within("the end", stream.read_to_end(&mut Vec::new())).await;
        end("endpoint", "endpoint_failed").await;

        let echo = Endpoint::echo().await;
        pair.server.server.set_policy(policy(""));
        let address = echo.address.to_string();
        let mut stream = connect(&pair.socket(), &address).await.unwrap();
        exchange(&mut stream, b"before").await;
        pair.server.server.set_policy(policy("default: deny"));
        let closed = end("server", "denied").await;
        assert!(
            closed["message"]
                .as_str()
                .unwrap()
                .contains("no rule allows it")
        );
        pair.server.server.set_policy(policy(""));

        let mut stream = connect(&pair.socket(), &address).await.unwrap();
        exchange(&mut stream, b"before").await;
        let Pair { server, agents, .. } = pair;
        server.stop(std::time::Duration::ZERO).await;
        end("server", "tunnel_ended").await;
        for agent in agents {
            agent.stop().await;
        }
    });
}

#[test]
fn nothing_begins_that_could_not_be_recorded() {
    run(async |_| {
        for mode in [FrontendMode::HttpConnect, FrontendMode::Grpc] {
            let recorded = Recorded::new();
            let pair = pair(&recorded, mode).await;
            let echo = Endpoint::echo().await;
            let address = echo.address.to_string();
            let mut held = Tunnel::dial(mode, &pair.socket(), &address).await.unwrap();
            recorded.block(true);
            assert!(!pair.server.server.is_ready());
            let complaints = pair.server.server.complaints().join("\n");
            assert!(
                complaints.contains("new streams and agents are refused"),
                "{complaints}"
            );
            let refused = Tunnel::dial(mode, &pair.socket(), &address)
                .await
                .err()
                .unwrap();
            assert!(refused.contains("audit log takes no records"), "{refused}");
            assert_eq!(refused.contains("503"), mode == FrontendMode::HttpConnect);
            let failed = recorded.newest(EventKind::StreamFailed, 1).await;
            assert_eq!(failed["reason"], "audit_blocked");
            let options = AgentOptions {
                id: "late".to_owned(),
                ..AgentOptions::default()
            };
            let late = RunningAgent::start(&pair.pki, pair.server.agent_address, options);
            eventually("the late agent is refused", || {
                recorded.kinds().contains(&EventKind::AgentRefused)
            })
            .await;
            // What began before goes on.
            held.exchange(b"still").await;
            recorded.block(false);
            late.connected(1).await;
            held.close().await;
            let again = Tunnel::dial(mode, &pair.socket(), &address).await.unwrap();
            again.close().await;
            recorded.newest(EventKind::StreamClosed, 2).await;
            late.stop().await;
            pair.end().await;
        }
    });
}

#[test]
fn agents_are_recorded_as_they_come_and_go() {
    run(async |_| {
        let recorded = Recorded::new();
        let options = ServerOptions {
            config: audited(&recorded),
            ..ServerOptions::default()
        };
        let agent = AgentOptions {
            identifiers: "host=node-1".to_owned(),
            ..AgentOptions::default()
        };
        let path = Path::start(options, agent).await;
        let connected = recorded.newest(EventKind::AgentConnected, 1).await;
        assert_eq!(connected["agent"]["identifiers"], json!(["host=node-1"]));
        let address = connected["agent"]["address"].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        let echo = Endpoint::echo().await;
        let mut stream = connect(&path.server.socket(), &echo.address.to_string())
            .await
            .unwrap();
        exchange(&mut stream, b"before").await;
        path.relay.cut();
        exchange(&mut stream, b"after").await;
        recorded.newest(EventKind::AgentSuspended, 1).await;
        let resumed = recorded.newest(EventKind::AgentResumed, 1).await;
        assert_eq!(resumed["agent"]["tunnel"], connected["agent"]["tunnel"]);
        drop(stream);
        // Somebody whose certificate is of another CA.
        let strangers = Pki::new();
        let stranger = RunningAgent::start(
            &strangers,
            path.server.agent_address,
            AgentOptions::default(),
        );
        eventually("the stranger is refused", || {
            recorded.kinds().contains(&EventKind::AgentRefused)
        })
        .await;
        stranger.stop().await;
        path.end().await;
        recorded.newest(EventKind::AgentLost, 1).await;
    });
}

#[test]
fn a_dial_of_grpc_that_is_given_up_is_recorded() {
    run(async |_| {
        let recorded = Recorded::new();
        let pair = pair(&recorded, FrontendMode::Grpc).await;
        let hanging = HangingPort::start().await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        frontend
            .send(dial_request(&hanging.address.to_string()))
            .await;
        pair.server.streams(1).await;
        drop(frontend);
        let failed = recorded.newest(EventKind::StreamFailed, 1).await;
        assert_eq!(failed["reason"], "frontend_close");
        assert_eq!(failed["dial"], json!({"frontendId": "7"}));
        pair.end().await;
    });
}
