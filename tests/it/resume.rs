//! Tunnels that outlive the connection under them.

use std::time::Duration;

use dialback_core::Packet;
use dialback_runtime::server::FrontendMode;
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{GrpcFrontend, connect, connect_tcp, data, exchange};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::path::Path;
use dialback_tests::peers::{AgentTls, PlayedAgent};
use dialback_tests::pki::Pki;
use dialback_tests::relay::Relay;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn streams_go_on_over_the_next_connection() {
    run(async |log| {
        let path = Path::start(ServerOptions::default(), AgentOptions::default()).await;
        let (echo, (sink, mut delivered)) = (Endpoint::echo().await, Endpoint::sink().await);
        let mut stream = connect(&path.server.socket(), &echo.address.to_string())
            .await
            .unwrap();
        let mut upload = connect(&path.server.socket(), &sink.address.to_string())
            .await
            .unwrap();
        for round in 0..5 {
            upload.write_all(&pattern(300_000)).await.unwrap();
            exchange(&mut stream, &pattern(100_000 + round)).await;
            path.relay.cut();
        }
        exchange(&mut stream, &pattern(1 << 20)).await;
        drop(upload);
        let delivery = within("the upload", delivered.recv()).await.unwrap();
        delivery.end.unwrap();
        let expected: Vec<u8> = (0..5).flat_map(|_| pattern(300_000)).collect();
        assert!(delivery.bytes == expected, "{} bytes", delivery.bytes.len());
        log.tells(&["tunnel resumed", "agent_id=agent-0"]).await;
        drop(stream);
        path.end().await;
    });
}

#[test]
fn a_dial_under_way_when_the_connection_is_cut_succeeds() {
    run(async |_| {
        let options = ServerOptions {
            mode: FrontendMode::Grpc,
            ..ServerOptions::default()
        };
        let path = Path::start(options, AgentOptions::default()).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let mut held = GrpcFrontend::start(&path.server.socket()).await;
        let first = held.dial(&address).await.unwrap();
        for _ in 0..5 {
            path.relay.cut();
            let mut frontend = GrpcFrontend::start(&path.server.socket()).await;
            let connection = frontend.dial(&address).await.unwrap();
            frontend.exchange(connection, &pattern(10_000)).await;
            held.exchange(first, &pattern(10_000)).await;
            frontend.close(connection).await;
        }
        held.close(first).await;
        path.end().await;
    });
}

/// A server that comes back knows nothing of the streams: they end at once, not after the timeout.
#[test]
fn a_restarted_server_ends_the_streams_of_its_predecessor() {
    run(async |log| {
        let pki = Pki::new();
        let first = RunningServer::start(&pki, ServerOptions::default());
        let second = ServerOptions {
            id: "server-2".to_owned(),
            ..ServerOptions::default()
        };
        let second = RunningServer::start(&pki, second);
        let relay = Relay::start(vec![first.agent_address, second.agent_address]).await;
        let agent = RunningAgent::start(&pki, relay.address, AgentOptions::default());
        first.agents(1).await;
        let (sink, mut delivered) = Endpoint::sink().await;
        let mut stream = connect(&first.socket(), &sink.address.to_string())
            .await
            .unwrap();
        stream.write_all(b"half of it").await.unwrap();
        agent.streams(1).await;
        // As if it was killed: nobody says goodbye.
        relay.cut();
        second.agents(1).await;
        let delivery = within("the end", delivered.recv()).await.unwrap();
        assert!(delivery.end.is_err(), "cut, not ended");
        log.tells(&["tunnel not resumed", "not known here"]).await;
        agent.streams(0).await;
        first.stop(Duration::ZERO).await;
        second.stop(Duration::ZERO).await;
        agent.stop().await;
    });
}

/// A goodbye ends a session at once on both sides.
#[test]
fn who_stops_leaves_no_session_behind() {
    run(async |log| {
        for agent_stops in [true, false] {
            let Path {
                server,
                relay,
                agent,
            } = Path::start(ServerOptions::default(), AgentOptions::default()).await;
            let echo = Endpoint::echo().await;
            let mut stream = connect(&server.socket(), &echo.address.to_string())
                .await
                .unwrap();
            exchange(&mut stream, b"hello").await;
            if agent_stops {
                agent.stop().await;
                assert!(within("the end", stream.read_u8()).await.is_err());
                server.streams(0).await;
                server.agents(0).await;
                log.tells(&["tunnel ended by the agent"]).await;
                server.stop(Duration::ZERO).await;
            } else {
                server.stop(Duration::ZERO).await;
                agent.streams(0).await;
                agent.stop().await;
            }
            drop(relay);
        }
    });
}

/// Nobody comes back: everything ends when the time is over.
#[test]
fn a_tunnel_that_is_not_resumed_ends_in_time() {
    run(async |log| {
        let mut server = ServerOptions::default();
        server.config.link.session.timeout = Duration::from_secs(1);
        let path = Path::start(server, AgentOptions::default()).await;
        let (sink, mut delivered) = Endpoint::sink().await;
        let mut stream = connect(&path.server.socket(), &sink.address.to_string())
            .await
            .unwrap();
        stream.write_all(b"half of it").await.unwrap();
        path.agent.streams(1).await;
        path.relay.refuse();
        path.relay.cut();
        assert!(within("the end", stream.read_u8()).await.is_err());
        let delivery = within("the end", delivered.recv()).await.unwrap();
        assert!(delivery.end.is_err(), "cut, not ended");
        log.tells(&["stream ended early", "not resumed in time"])
            .await;
        path.server.agents(0).await;
        path.end().await;
    });
}

/// Item by item what a thief could try; the real session goes on all the while.
#[test]
fn a_session_is_resumed_by_nobody_but_its_owner() {
    run(async |log| {
        let pair = Pair::start(PairOptions {
            agents: 0,
            ..PairOptions::default()
        })
        .await;
        let server = pair.server.agent_address;
        let owner = AgentTls::new(&pair.pki);
        let thief = AgentTls::new(&pair.pki);
        let extensions = "flow-control/1;window=65536, resume/1";
        let offer = |id: &str, token: &str, received: u64| {
            format!("id={id};token={token};received={received}")
        };
        let mut first = PlayedAgent::offer(&owner, server, extensions, &[]).await;
        let (id, token) = first.session().await;
        let (stream, connection) = tokio::join!(
            connect_tcp(pair.server.tcp, "10.0.0.1:1"),
            first.accept_dial(1)
        );
        let mut stream = stream.unwrap();
        let attempts = [
            (
                &owner,
                offer("AAAAAAAAAAAAAAAAAAAAAA", &token, 1),
                "unknown_session",
            ),
            (&owner, format!("id={id};received=1"), ""),
            (&owner, offer(&id, &"A".repeat(43), 1), "wrong_token"),
            (&thief, offer(&id, &token, 1), "wrong_identity"),
            (&owner, offer(&id, &token, 1_000_000), "wrong_count"),
        ];
        for (who, words, reason) in &attempts {
            let mut refused = PlayedAgent::offer(who, server, extensions, &[words]).await;
            assert!(refused.resumed().await.is_none(), "{words}");
            assert_ne!(refused.session().await.0, id, "a new session");
            if !reason.is_empty() {
                assert_eq!(pair.server.resumes_refused(reason), 1, "{reason}");
            }
            drop(refused);
            pair.server.agents(1).await;
            // The real one is unharmed.
            first.call.send(data(connection, b"still here")).await;
            let mut got = [0; 10];
            within("its data", stream.read_exact(&mut got))
                .await
                .unwrap();
        }
        log.tells(&["tunnel not resumed", "another agent"]).await;

        // Now for real, which uses the token up as soon as the new connection is used.
        let words = offer(&id, &token, 1);
        let mut second = PlayedAgent::offer(&owner, server, extensions, &[&words]).await;
        assert!(second.resumed().await.is_some());
        let (same, next_token) = second.session().await;
        assert!(same == id && next_token != token);
        second.call.send(Packet::Ack { received: 1 }).await;
        second.call.send(data(connection, b"new tunnel")).await;
        let mut got = [0; 10];
        within("its data", stream.read_exact(&mut got))
            .await
            .unwrap();
        let mut replayed = PlayedAgent::offer(&owner, server, extensions, &[&words]).await;
        assert!(replayed.resumed().await.is_none());
        assert_eq!(pair.server.resumes_refused("wrong_token"), 2);
        second.call.send(data(connection, b"still here")).await;
        within("its data", stream.read_exact(&mut got))
            .await
            .unwrap();
        drop((first, second, replayed, stream));
        // The stream's end could not be told: the session waits, and ends with the server.
        pair.server.stop(Duration::ZERO).await;
    });
}
