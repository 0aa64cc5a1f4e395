//! Who is let in, and who is not.

use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_tests::agent::AgentOptions;
use dialback_tests::endpoint::{Endpoint, pattern};
use dialback_tests::frontend::{dial, exchange};
use dialback_tests::pair::PairOptions;
use dialback_tests::pki::Pki;
use dialback_tests::server::ServerOptions;
use dialback_tests::world::World;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

pub(super) async fn frontends_are_served_over_tls<R: Runtime>(world: &World<R>) {
    let pair = world.pair(PairOptions::default()).await;
    let echo = Endpoint::echo().await;
    let socket = TcpStream::connect(pair.server.tls).await.unwrap();
    let tls = TlsConnector::from(pair.pki.client(&["http/1.1"]));
    let stream = tls.connect(name(), socket).await.unwrap();
    let mut stream = dial(stream, &echo.address.to_string()).await.unwrap();
    exchange(&mut stream, &pattern(1 << 20)).await;
    drop(stream);
    pair.end().await;
}

pub(super) async fn a_frontend_without_a_certificate_is_refused<R: Runtime>(world: &World<R>) {
    let pair = world.pair(PairOptions::default()).await;
    let socket = TcpStream::connect(pair.server.tls).await.unwrap();
    let tls = TlsConnector::from(pair.pki.anonymous(&["http/1.1"]));
    // In TLS 1.3 a client learns of it after its own part of the handshake.
    if let Ok(mut stream) = tls.connect(name(), socket).await {
        stream.read_u8().await.unwrap_err();
    }
    let told = ["TLS handshake with a frontend failed"];
    world.log.tells(&told).await;
    pair.end().await;
}

pub(super) async fn an_agent_without_a_certificate_is_refused<R: Runtime>(world: &World<R>) {
    let pki = Pki::new();
    let server = world.server(&pki, ServerOptions::default());
    let socket = TcpStream::connect(server.agent_address).await.unwrap();
    let tls = TlsConnector::from(pki.anonymous(&["h2"]));
    if let Ok(mut stream) = tls.connect(name(), socket).await {
        stream.read_u8().await.unwrap_err();
    }
    let told = ["TLS handshake with an agent failed"];
    world.log.tells(&told).await;
    let agent = world.agent(&pki, server.agent_address, AgentOptions::default());
    server.agents(1).await;
    agent.stop().await;
    server.stop(Duration::ZERO).await;
}

pub(super) async fn an_agent_trusts_no_server_of_another_authority<R: Runtime>(world: &World<R>) {
    let (pki, strangers) = (Pki::new(), Pki::new());
    let server = world.server(&strangers, ServerOptions::default());
    let agent = world.agent(&pki, server.agent_address, AgentOptions::default());
    world
        .log
        .tells(&["cannot connect to the proxy server", "certificate"])
        .await;
    assert_eq!(agent.agent.connected(), 0);
    agent.stop().await;
    server.stop(Duration::ZERO).await;
}
