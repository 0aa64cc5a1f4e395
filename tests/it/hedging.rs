//! Dials that another agent serves, since the first one does not, and agents that are asked for by their labels.

use std::io;
use std::time::Duration;

use dialback_core::Packet;
use dialback_runtime::metrics::render;
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::endpoint::Endpoint;
use dialback_tests::frontend::{connect, exchange};
use dialback_tests::peers::PlayedAgent;
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::{eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

fn server(pki: &Pki, strategies: &'static str, dial_hedging: bool) -> RunningServer {
    let mut options = ServerOptions {
        strategies,
        ..ServerOptions::default()
    };
    options.config.dial_hedging = dial_hedging;
    RunningServer::start(pki, options)
}

fn value(server: &RunningServer, series: &str) -> u64 {
    let text = render::<&str>(server.server.metrics().registry(), &[]);
    let mut values = text.lines().filter_map(|line| line.strip_prefix(series));
    values
        .next()
        .map_or(0, |value| value.trim().parse().unwrap())
}

const WON: &str = "dialback_dial_hedges_total{result=\"won\"}";
const ASIDE: &str = "dialback_agents_set_aside";

#[test]
fn what_one_agent_leaves_unanswered_another_serves_and_the_first_is_told_to_give_up() {
    run(async |_| {
        let pki = Pki::new();
        let server = server(&pki, "default", true);
        let mut silent = PlayedAgent::connect(&pki, server.agent_address, "silent").await;
        let options = AgentOptions::default();
        let good = RunningAgent::start(&pki, server.agent_address, options);
        server.agents(2).await;
        let echo = Endpoint::echo().await;
        let (socket, address) = (server.socket(), echo.address.to_string());
        // A random agent is asked first, so the silent one's turn comes.
        while value(&server, ASIDE) == 0 {
            let dialling = connect(&socket, &address);
            let mut stream = within("the dial is served", dialling).await.unwrap();
            exchange(&mut stream, b"by the other").await;
        }
        assert_eq!(value(&server, WON), 3, "it is set aside after three");
        for _ in 0..3 {
            let dial = silent.next_dial().await;
            let told = silent.call.recv().await.unwrap();
            assert_eq!(told, Packet::CloseDial { dial });
        }
        // From now on it is not asked.
        for _ in 0..20 {
            let mut stream = connect(&socket, &address).await.unwrap();
            exchange(&mut stream, b"by the other").await;
        }
        assert_eq!(value(&server, WON), 3);
        eventually("nothing is left", || server.server.stream_count() == 0).await;
        let pending = "konnectivity_network_proxy_server_pending_backend_dials";
        assert_eq!(value(&server, pending), 0);
        let failed = "konnectivity_network_proxy_server_dial_failure_count";
        assert_eq!(value(&server, failed), 0, "an overtaken dial is no failure");
        drop(silent);
        eventually("it is forgotten", || value(&server, ASIDE) == 0).await;
        good.stop().await;
        server.stop(Duration::ZERO).await;
    });
}

/// What comes of a dial whose agent is lost before it answers, when another agent is there by then.
async fn lost_before_its_answer(dial_hedging: bool) -> io::Result<()> {
    let pki = Pki::new();
    let server = server(&pki, "default", dial_hedging);
    let mut lost = PlayedAgent::connect(&pki, server.agent_address, "lost").await;
    let echo = Endpoint::echo().await;
    let (socket, address) = (server.socket(), echo.address.to_string());
    // Alone it is asked first, and no other is there to be asked as well.
    let dialling = tokio::spawn(async move { connect(&socket, &address).await });
    lost.next_dial().await;
    let good = RunningAgent::start(&pki, server.agent_address, AgentOptions::default());
    server.agents(2).await;
    drop(lost);
    let dialled = within("the dial is answered", dialling).await.unwrap();
    let answer = match dialled {
        Ok(mut stream) => {
            exchange(&mut stream, b"in its place").await;
            Ok(())
        }
        Err(error) => Err(io::Error::other(error.to_string())),
    };
    good.stop().await;
    server.stop(Duration::ZERO).await;
    answer
}

#[test]
fn an_agent_that_is_lost_before_it_answers_is_replaced() {
    run(async |_| lost_before_its_answer(true).await.unwrap());
}

#[test]
fn an_agent_that_has_no_room_is_passed_over() {
    run(async |_| {
        let pki = Pki::new();
        let mut options = ServerOptions::default();
        options.config.dial_hedging = true;
        options.config.link.max_pending_dials = 1;
        let server = RunningServer::start(&pki, options);
        let mut full = PlayedAgent::connect(&pki, server.agent_address, "full").await;
        let echo = Endpoint::echo().await;
        let (socket, address) = (server.socket(), echo.address.to_string());
        let (its, at) = (socket.clone(), address.clone());
        let waiting = tokio::spawn(async move { connect(&its, &at).await });
        full.next_dial().await;
        let good = RunningAgent::start(&pki, server.agent_address, AgentOptions::default());
        server.agents(2).await;
        // Drawn at random, half of them come upon the agent whose only place is taken.
        for _ in 0..20 {
            let mut stream = connect(&socket, &address).await.unwrap();
            exchange(&mut stream, b"where there is room").await;
        }
        waiting.abort();
        good.stop().await;
        server.stop(Duration::ZERO).await;
    });
}

#[test]
fn without_hedging_a_dial_is_its_agents_alone() {
    run(async |_| assert!(lost_before_its_answer(false).await.is_err()));
}

/// Asks for a tunnel with labels; the first line of the answer, and the agent that it names.
async fn asked(server: &RunningServer, address: &str, labels: &str) -> (String, String) {
    let mut socket = UnixStream::connect(server.socket()).await.unwrap();
    let request = format!(
        "CONNECT {address} HTTP/1.1\r\nDialback-Select: {labels}\r\nDialback-Agent: ?\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        match socket.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(_) => break,
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    let line = answer.lines().next().unwrap().to_owned();
    let mut fields = answer.lines();
    let agent = fields.find_map(|field| field.strip_prefix("dialback-agent: "));
    (line, agent.unwrap_or_default().to_owned())
}

#[test]
fn a_frontend_gets_an_agent_with_the_labels_that_it_asks_for() {
    run(async |_| {
        let pki = Pki::new();
        let server = server(&pki, "label,default", false);
        let mut agents = Vec::new();
        for zone in ["a", "b"] {
            let options = AgentOptions {
                id: format!("agent-{zone}"),
                identifiers: format!("label=zone:{zone}"),
                ..AgentOptions::default()
            };
            agents.push(RunningAgent::start(&pki, server.agent_address, options));
        }
        server.agents(2).await;
        let echo = Endpoint::echo().await;
        let address = echo.address.to_string();
        let established = "HTTP/1.1 200 Connection Established";
        for zone in ["a", "b", "a", "b"] {
            let (line, agent) = asked(&server, &address, &format!("zone={zone}")).await;
            assert_eq!(
                (line.as_str(), agent),
                (established, format!("agent-{zone}"))
            );
        }
        let (line, _) = asked(&server, &address, "zone=c").await;
        assert_eq!(
            line, "HTTP/1.1 500 Internal Server Error",
            "no agent has it"
        );
        let (line, _) = asked(&server, &address, "zone").await;
        assert_eq!(line, "HTTP/1.1 403 Forbidden", "it is no selector");
        for agent in agents {
            agent.stop().await;
        }
        server.stop(Duration::ZERO).await;
    });
}
