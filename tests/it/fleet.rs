//! Agents and the servers they look for: several, silent, refusing, draining.

use std::time::Duration;

use dialback_core::agent::FleetConfig;
use dialback_runtime::server::Stopped;
use dialback_tests::agent::{AgentOptions, RunningAgent, eager};
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::peers::PlayedServer;
use dialback_tests::pki::Pki;
use dialback_tests::relay::Relay;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::eventually;

fn server(pki: &Pki, id: &str, count: i64) -> RunningServer {
    let mut options = ServerOptions {
        id: id.to_owned(),
        ..ServerOptions::default()
    };
    options.config.server_count = count;
    RunningServer::start(pki, options)
}

#[test]
fn an_agent_finds_every_server_behind_one_address() {
    run(async |_| {
        let pki = Pki::new();
        let servers = [server(&pki, "one", 2), server(&pki, "two", 2)];
        let addresses = servers.iter().map(|server| server.agent_address).collect();
        let relay = Relay::start(addresses).await;
        let agent = RunningAgent::start(&pki, relay.address, AgentOptions::default());
        agent.connected(2).await;
        let echo = Endpoint::echo().await;
        for server in &servers {
            server.agents(1).await;
            let address = echo.address.to_string();
            let mut stream = connect(&server.socket(), &address).await.unwrap();
            exchange(&mut stream, &pattern(100_000)).await;
        }
        // One goes; the other stays.
        let [one, two] = servers;
        one.stop(Duration::ZERO).await;
        agent.connected(1).await;
        let address = echo.address.to_string();
        let mut stream = connect(&two.socket(), &address).await.unwrap();
        exchange(&mut stream, b"still here").await;
        drop(stream);
        two.streams(0).await;
        agent.stop().await;
        two.stop(Duration::ZERO).await;
    });
}

/// A server that stops waits for its streams; the agent has found its successor by then.
#[test]
fn an_agent_finds_the_successor_of_a_server_that_still_serves_its_streams() {
    run(async |log| {
        let pki = Pki::new();
        let (old, new) = (server(&pki, "old", 1), server(&pki, "new", 1));
        let relay = Relay::start(vec![old.agent_address, new.agent_address]).await;
        let agent = RunningAgent::start(&pki, relay.address, AgentOptions::default());
        old.agents(1).await;
        agent.connected(1).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let mut stream = connect(&old.socket(), &address).await.unwrap();
        exchange(&mut stream, b"before").await;

        let stopping = tokio::spawn(old.stop(Duration::from_secs(3600)));
        log.tells(&["server is draining", "old"]).await;
        agent.connected(2).await;
        new.agents(1).await;
        let mut second = connect(&new.socket(), &address).await.unwrap();
        exchange(&mut second, b"by the successor").await;
        exchange(&mut stream, b"by the one that stops").await;
        assert!(!stopping.is_finished());

        drop(stream);
        assert_eq!(stopping.await.unwrap(), Stopped::Idle);
        agent.connected(1).await;
        exchange(&mut second, b"still").await;
        drop(second);
        new.streams(0).await;
        agent.stop().await;
        new.stop(Duration::ZERO).await;
    });
}

/// A second connection to the same server is of no use, and closing it must not close the first.
#[test]
fn a_server_that_is_found_twice_is_kept_once() {
    run(async |log| {
        let pki = Pki::new();
        let server = server(&pki, "only", 2);
        let relay = Relay::start(vec![server.agent_address]).await;
        let agent = RunningAgent::start(&pki, relay.address, AgentOptions::default());
        agent.connected(1).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let mut stream = connect(&server.socket(), &address).await.unwrap();
        eventually("the agent looks for a second server", || {
            relay.accepted() >= 4
        })
        .await;
        exchange(&mut stream, b"still here").await;
        assert_eq!(agent.agent.connected(), 1);
        assert_eq!(log.count(tracing::Level::WARN, &[]), 0);
        drop(stream);
        server.streams(0).await;
        agent.stop().await;
        server.stop(Duration::ZERO).await;
    });
}

/// A Go agent tells of a missing header instead.
#[test]
fn the_words_of_a_server_that_refuses_are_in_the_agents_log() {
    run(async |log| {
        let pki = Pki::new();
        let server = PlayedServer::start(&pki).await;
        let agent = RunningAgent::start(&pki, server.address, AgentOptions::default());
        let words = "authentication context cannot be validated";
        let refused = server.refuse("16", words).await;
        let address = server.address.to_string();
        log.tells(&["cannot connect to the proxy server", &address, words])
            .await;
        drop(refused);
        // It tries again.
        let link = server.accept("patient", "1").await;
        agent.connected(1).await;
        drop(link);
        agent.stop().await;
    });
}

#[test]
fn a_silent_server_costs_one_attempt_and_no_more() {
    run(async |log| {
        let pki = Pki::new();
        let server = PlayedServer::start(&pki).await;
        let options = AgentOptions {
            fleet: FleetConfig {
                attempt_timeout: Duration::from_millis(300),
                ..eager()
            },
            ..AgentOptions::default()
        };
        let agent = RunningAgent::start(&pki, server.address, options);
        // Silent in TCP, behind TLS, and with the answer to the call.
        let tcp = server.accept_tcp().await;
        let tls = server.accept_tls().await;
        let call = server.accept_call().await;
        let link = server.accept("at last", "1").await;
        agent.connected(1).await;
        let address = server.address.to_string();
        let told = [address.as_str(), "took too long"];
        assert_eq!(log.count(tracing::Level::WARN, &told), 3);
        drop((tcp, tls, call, link));
        agent.stop().await;
    });
}

#[test]
fn a_draining_agent_keeps_its_streams_and_gets_dials_as_a_last_resort() {
    run(async |log| {
        let options = PairOptions {
            agents: 2,
            ..PairOptions::default()
        };
        let mut pair = Pair::start(options).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let mut streams = Vec::new();
        // Both are chosen at random until each has one.
        while pair
            .agents
            .iter()
            .any(|agent| agent.agent.stream_count() == 0)
        {
            let stream = connect(&pair.socket(), &address).await.unwrap();
            streams.push(stream);
        }
        let [one, two] = &pair.agents[..] else {
            panic!("two agents were asked for");
        };
        one.agent.drain();
        log.tells(&["agent is draining", "agent-0"]).await;
        let before = one.agent.stream_count();
        for _ in 0..20 {
            streams.push(connect(&pair.socket(), &address).await.unwrap());
        }
        assert_eq!(one.agent.stream_count(), before);
        assert_eq!(two.agent.stream_count() + before, streams.len());
        for stream in &mut streams {
            exchange(stream, b"still here").await;
        }
        drop(streams);
        pair.idle().await;
        pair.agents.pop().unwrap().stop().await;
        pair.server.agents(1).await;
        let mut stream = connect(&pair.socket(), &address).await.unwrap();
        exchange(&mut stream, b"the last resort").await;
        drop(stream);
        pair.end().await;
    });
}
