//! Agents that come at once: some are in their TLS handshake at a time, and who dawdles there holds nobody up.

use std::sync::Arc;

use dialback_runtime::metrics::render;
use dialback_tests::peers::PlayedAgent;
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::server::{RunningServer, ServerOptions};
use dialback_tests::wait::{eventually, within};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A client that says hello and then nothing.
async fn dawdler(pki: &Pki, server: &RunningServer) -> TcpStream {
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(Arc::clone(&pki.client(&["h2"])), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let mut socket = TcpStream::connect(server.agent_address).await.unwrap();
    socket.write_all(&hello).await.unwrap();
    socket
}

fn waited(server: &RunningServer) -> u64 {
    let text = render::<&str>(server.server.metrics().registry(), &[]);
    let series = "dialback_limit_reached_total{limit=\"max_agent_handshakes\"} ";
    let mut values = text.lines().filter_map(|line| line.strip_prefix(series));
    values.next().unwrap().parse().unwrap()
}

#[test]
fn agents_wait_for_their_turn_and_dawdlers_lose_theirs() {
    run(async |_| {
        let pki = Pki::new();
        let mut options = ServerOptions::default();
        options.config.max_agent_handshakes = 1;
        let server = RunningServer::start(&pki, options);
        // Who has not even said hello takes no turn.
        let silent = TcpStream::connect(server.agent_address).await.unwrap();
        let first = PlayedAgent::connect(&pki, server.agent_address, "first").await;
        assert_eq!(waited(&server), 0);
        let slow = [dawdler(&pki, &server).await, dawdler(&pki, &server).await];
        eventually("the second dawdler waits for the first", || {
            waited(&server) == 1
        })
        .await;
        let connecting = PlayedAgent::connect(&pki, server.agent_address, "second");
        let second = within("an agent gets its turn", connecting).await;
        assert_eq!(waited(&server), 2);
        server.agents(2).await;
        drop((silent, slow, first, second));
        server.stop(std::time::Duration::ZERO).await;
    });
}
