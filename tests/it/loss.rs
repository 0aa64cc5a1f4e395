//! Tunnels that are lost while something depends on them.

use std::io::ErrorKind;
use std::time::Duration;

use dialback_core::{ConnectId, Packet};
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::call::Call;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{GrpcFrontend, connect, connect_tcp, data, dial_request, exchange};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::peers::PlayedAgent;
use dialback_tests::pki::Pki;
use dialback_tests::relay::Relay;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn without_agents() -> PairOptions {
    PairOptions {
        agents: 0,
        ..PairOptions::default()
    }
}

/// The reference leaves such a frontend to its own 30 seconds.
#[test]
fn a_grpc_frontend_whose_agent_goes_before_the_answer_is_told_at_once() {
    run(async |log| {
        let pair = Pair::start(without_agents().grpc()).await;
        let mut agent = PlayedAgent::connect(&pair.pki, pair.server.agent_address, "gone").await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        frontend.send(dial_request("10.0.0.1:1")).await;
        agent.next_dial().await;
        let peer = format!("peer={}", agent.address);
        drop(agent);
        let answer = frontend.recv().await.unwrap();
        let Packet::DialResponse {
            connect_id: None,
            error,
            ..
        } = answer
        else {
            panic!("not a refusal: {answer:?}");
        };
        assert!(error.contains("context canceled"), "{error}");
        log.tells(&["tunnel to an agent lost", &peer, "agent_id=gone"])
            .await;
        drop(frontend);
        pair.end().await;
    });
}

#[test]
fn open_streams_of_a_lost_agent_end_with_an_error() {
    run(async |_| {
        let pair = Pair::start(without_agents().grpc()).await;
        let mut agent = PlayedAgent::connect(&pair.pki, pair.server.agent_address, "gone").await;
        let mut frontend = GrpcFrontend::start(&pair.socket()).await;
        let (dialled, _) = tokio::join!(frontend.dial("10.0.0.1:1"), agent.accept_dial(1));
        let connection = dialled.unwrap();
        // What had come is delivered; that it may not be all is told.
        agent.call.send(data(connection, b"the last words")).await;
        let first = frontend.recv().await.unwrap();
        assert_eq!(first, data(connection, b"the last words"));
        drop(agent);
        let (got, error) = frontend.rest(connection).await;
        assert_eq!((got.as_slice(), error.as_str()), (&b""[..], "tunnel lost"));
        drop(frontend);
        pair.end().await;
    });
}

#[test]
fn a_connect_frontend_of_a_lost_agent_sees_a_reset() {
    run(async |_| {
        let pair = Pair::start(without_agents()).await;
        let mut agent = PlayedAgent::connect(&pair.pki, pair.server.agent_address, "gone").await;
        let (stream, _) = tokio::join!(
            connect_tcp(pair.server.tcp, "10.0.0.1:1"),
            agent.accept_dial(1)
        );
        let mut stream = stream.unwrap();
        drop(agent);
        let end = within("the end", stream.read_u8()).await.unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        pair.end().await;
    });
}

/// Where tunnels are not resumed, both ends of every stream are told, and the agent comes back.
#[test]
fn a_tunnel_that_is_cut_ends_its_streams_and_is_replaced() {
    for plain in [false, true] {
        run(async |log| {
            let pki = Pki::new();
            let server = RunningServer::start(
                &pki,
                ServerOptions {
                    plain,
                    ..ServerOptions::default()
                },
            );
            let relay = Relay::start(vec![server.agent_address]).await;
            let mut options = AgentOptions {
                plain,
                ..AgentOptions::default()
            };
            options.link.session.timeout = Duration::ZERO;
            let agent = RunningAgent::start(&pki, relay.address, options);
            server.agents(1).await;
            let (echo, (sink, mut delivered)) = (Endpoint::echo().await, Endpoint::sink().await);
            let echo = echo.address.to_string();
            for round in 1..=3 {
                agent.connected(1).await;
                let mut idle = connect(&server.socket(), &echo).await.unwrap();
                let mut upload = connect(&server.socket(), &sink.address.to_string())
                    .await
                    .unwrap();
                exchange(&mut idle, &pattern(100_000)).await;
                upload.write_all(b"half of it").await.unwrap();
                server.streams(2).await;
                agent.streams(2).await;
                relay.cut();
                assert!(within("the end", idle.read_u8()).await.is_err());
                assert!(within("the end", upload.read_u8()).await.is_err());
                // An endpoint must not take a broken stream for a whole one.
                let delivery = within("the endpoint's end", delivered.recv())
                    .await
                    .unwrap();
                let end = delivery.end.unwrap_err();
                assert_eq!(end.kind(), ErrorKind::ConnectionReset);
                agent.streams(0).await;
                server.streams(0).await;
                log.tells(&["connection to a server lost", &format!("link:{round}")])
                    .await;
                server.agents(1).await;
            }
            let mut fresh = connect(&server.socket(), &echo).await.unwrap();
            exchange(&mut fresh, b"back").await;
            drop(fresh);
            assert_eq!(relay.accepted(), 4);
            server.stop(Duration::ZERO).await;
            agent.stop().await;
        });
    }
}

/// The reference mixes up their streams: both count their connections from 1 under one name.
#[test]
fn two_agents_of_one_id_keep_their_streams_apart() {
    run(async |_| {
        let mut options = without_agents().grpc();
        options.server.strategies = "destHost";
        let pair = Pair::start(options).await;
        let address = pair.server.agent_address;
        let mut frontends = Vec::new();
        let mut agents = Vec::new();
        for host in ["left.test", "right.test"] {
            let identifiers = format!("host={host}");
            let metadata = [("agentid", "twin"), ("agentidentifiers", &identifiers)];
            let agent = PlayedAgent::connect_with(&pair.pki, address, &metadata).await;
            let mut agent = agent.unwrap();
            pair.server.agents(agents.len() + 1).await;
            let mut frontend = GrpcFrontend::start(&pair.socket()).await;
            let destination = format!("{host}:1");
            let (dialled, _) = tokio::join!(frontend.dial(&destination), agent.accept_dial(1));
            assert_eq!(dialled.unwrap(), ConnectId::new(1).unwrap());
            frontends.push(frontend);
            agents.push(agent);
        }
        let connection = ConnectId::new(1).unwrap();
        for (index, agent) in agents.iter_mut().enumerate() {
            let words = format!("to the frontend of twin {index}");
            agent.call.send(data(connection, words.as_bytes())).await;
            let got = frontends[index].recv().await.unwrap();
            assert_eq!(got, data(connection, words.as_bytes()));
            let words = format!("to twin {index}");
            frontends[index]
                .send(data(connection, words.as_bytes()))
                .await;
            let got = agent.call.recv().await.unwrap();
            assert_eq!(got, data(connection, words.as_bytes()));
        }
        // One goes, the other's stream stays.
        let mut last = agents.pop().unwrap();
        drop(agents);
        let (_, error) = frontends[0].rest(connection).await;
        assert_eq!(error, "tunnel lost");
        let Call { sender, .. } = &mut last.call;
        sender.send(data(connection, b"still here")).await;
        let got = frontends[1].recv().await.unwrap();
        assert_eq!(got, data(connection, b"still here"));
        drop((last, frontends));
        pair.end().await;
    });
}
