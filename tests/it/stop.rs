//! Servers and agents that stop, with everything under way: in bounded time, and nothing is left.

use std::sync::Arc;
use std::time::Duration;

use dialback_core::{DialId, Packet};
use dialback_runtime::server::Stopped;
use dialback_tests::agent::{AgentOptions, RunningAgent, eager};
use dialback_tests::call::Connection;
use dialback_tests::descriptors::{back_to, open};
use dialback_tests::endpoint::{ClosedPort, Endpoint, HangingPort, pattern};
use dialback_tests::frontend::{GrpcFrontend, connect, exchange, request};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::peers::{PlayedAgent, PlayedServer};
use dialback_tests::pki::Pki;
use dialback_tests::run::{run, run_alone};
use dialback_tests::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// Longer than any test may take: who waits for it fails.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_server_without_frontends_stops_at_once() {
    run(async |_| {
        for options in [PairOptions::default(), PairOptions::default().grpc()] {
            let pair = Pair::start(options).await;
            assert_eq!(pair.server.stop(LONG).await, Stopped::Idle);
            for agent in pair.agents {
                agent.connected(0).await;
                agent.stop().await;
            }
        }
    });
}

#[test]
fn a_stopping_server_lets_streams_finish_and_takes_no_new_ones() {
    run(async |_| {
        let pair = Pair::start(PairOptions::default()).await;
        let echo = Endpoint::echo().await;
        let socket = pair.socket();
        let address = echo.address.to_string();
        let mut open = connect(&socket, &address).await.unwrap();
        let Pair { server, agents, .. } = pair;
        let (tcp, health) = (server.tcp, Arc::clone(&server.server));
        assert!(health.is_ready() && health.complaints().is_empty());
        let stopping = tokio::spawn(server.stop(LONG));
        // The listeners are closed first.
        within("no new connections", async {
            while let Ok(mut stream) = TcpStream::connect(tcp).await {
                // One that got in before is dropped unserved, or served in the backlog never.
                let _ = stream.write_all(&request("10.0.0.1:1")).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        assert!(!health.is_ready());
        assert_eq!(health.complaints(), ["the server is stopping"]);
        exchange(&mut open, &pattern(1 << 20)).await;
        assert!(!stopping.is_finished());
        drop(open);
        assert_eq!(stopping.await.unwrap(), Stopped::Idle);
        for agent in agents {
            agent.stop().await;
        }
    });
}

#[test]
fn what_does_not_finish_is_cut() {
    for grpc in [false, true] {
        run(async |_| {
            let mut options = PairOptions::default();
            if grpc {
                options = options.grpc();
            }
            let pair = Pair::start(options).await;
            let (sink, mut delivered) = Endpoint::sink().await;
            let address = sink.address.to_string();
            let socket = pair.socket();
            let started = Instant::now();
            if grpc {
                let mut frontend = GrpcFrontend::start(&socket).await;
                frontend.dial(&address).await.unwrap();
                let stopped = pair.server.stop(Duration::from_millis(50)).await;
                assert_eq!(stopped, Stopped::Cut);
                within("the end", frontend.call.end()).await;
            } else {
                let mut stream = connect(&socket, &address).await.unwrap();
                let stopped = pair.server.stop(Duration::from_millis(50)).await;
                assert_eq!(stopped, Stopped::Cut);
                let _ = within("the end", stream.read_u8()).await;
            }
            assert!(started.elapsed() < Duration::from_secs(10));
            // The endpoint is let go as well, with a close or with the tunnel, whichever comes first.
            within("the endpoint's end", delivered.recv())
                .await
                .unwrap();
            for agent in pair.agents {
                agent.stop().await;
            }
        });
    }
}

/// With a dial pending, streams open both ways, half a request, half a handshake.
#[test]
fn nothing_is_left_of_a_server_and_an_agent_that_stop_in_the_middle() {
    run_alone(async |_| {
        let before = open();
        for grpc in [false, true] {
            let mut options = PairOptions::default();
            if grpc {
                options = options.grpc();
            }
            let pair = Pair::start(options).await;
            let (echo, hanging) = (Endpoint::echo().await, HangingPort::start().await);
            let socket = pair.socket();
            let (idle, half) = (
                UnixStream::connect(&socket).await.unwrap(),
                TcpStream::connect(pair.server.agent_address).await.unwrap(),
            );
            if grpc {
                let mut frontends = Vec::new();
                for address in [echo.address, hanging.address] {
                    let mut frontend = GrpcFrontend::start(&socket).await;
                    let dial = dialback_tests::frontend::dial_request(&address.to_string());
                    frontend.send(dial).await;
                    frontends.push(frontend);
                }
                frontends[0].recv().await.unwrap();
                pair.agents[0].streams(2).await;
                let quiet = Connection::start(UnixStream::connect(&socket).await.unwrap()).await;
                pair.server.stop(Duration::ZERO).await;
                drop((frontends, quiet));
            } else {
                let stream = connect(&socket, &echo.address.to_string()).await.unwrap();
                let mut pending = UnixStream::connect(&socket).await.unwrap();
                let request = request(&hanging.address.to_string());
                pending.write_all(&request).await.unwrap();
                pair.agents[0].streams(2).await;
                pair.server.stop(Duration::ZERO).await;
                drop((stream, pending));
            }
            for agent in pair.agents {
                agent.stop().await;
            }
            drop((idle, half, echo, hanging));
            back_to(before).await;
        }
    });
}

#[test]
fn a_pending_dial_does_not_hold_the_stop_up() {
    run(async |_| {
        let pair = Pair::start(PairOptions {
            agents: 0,
            ..PairOptions::default()
        })
        .await;
        let mut agent = PlayedAgent::connect(&pair.pki, pair.server.agent_address, "mute").await;
        let mut pending = UnixStream::connect(pair.socket()).await.unwrap();
        pending.write_all(&request("10.0.0.1:1")).await.unwrap();
        agent.next_dial().await;
        assert_eq!(
            pair.server.stop(Duration::from_millis(50)).await,
            Stopped::Cut
        );
        within("the agent's end", agent.call.end()).await;
        let mut answer = Vec::new();
        let _ = within("the end", pending.read_to_end(&mut answer)).await;
    });
}

#[test]
fn an_agent_stops_whatever_it_is_at() {
    run_alone(async |_| {
        let before = open();
        let pki = Pki::new();
        // Waiting to try again.
        let closed = ClosedPort::new();
        let mut options = AgentOptions::default();
        options.fleet.sync_interval = LONG;
        options.fleet.sync_interval_cap = LONG;
        let agent = RunningAgent::start(&pki, closed.address, options);
        tokio::task::yield_now().await;
        agent.stop().await;
        // Connecting, to nobody, to silence in TCP, behind TLS, and with its call.
        let hanging = HangingPort::start().await;
        let agent = RunningAgent::start(&pki, hanging.address, AgentOptions::default());
        tokio::task::yield_now().await;
        agent.stop().await;
        let server = PlayedServer::start(&pki).await;
        for step in 0..3 {
            let agent = RunningAgent::start(&pki, server.address, AgentOptions::default());
            match step {
                0 => {
                    let silent = server.accept_tcp().await;
                    agent.stop().await;
                    drop(silent);
                }
                1 => {
                    let silent = server.accept_tls().await;
                    agent.stop().await;
                    drop(silent);
                }
                _ => {
                    let silent = server.accept_call().await;
                    agent.stop().await;
                    drop(silent);
                }
            }
        }
        // Connected, with a stream open and a dial pending: the server's side ends too.
        let options = AgentOptions {
            fleet: eager(),
            ..AgentOptions::default()
        };
        let agent = RunningAgent::start(&pki, server.address, options);
        let mut link = server.accept("one", "1").await;
        agent.connected(1).await;
        let echo = Endpoint::echo().await;
        for (id, address) in [(1, echo.address), (2, hanging.address)] {
            link.call
                .send(Packet::DialRequest {
                    dial: DialId(id),
                    protocol: "tcp".to_owned(),
                    address: address.to_string(),
                })
                .await;
        }
        link.call.recv().await.unwrap();
        agent.streams(2).await;
        agent.stop().await;
        within("the server's side ends", link.call.end()).await;
        drop((link, server, echo, hanging, closed));
        back_to(before).await;
    });
}
