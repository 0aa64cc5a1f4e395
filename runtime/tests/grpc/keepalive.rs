//! PINGs to a silent peer, on tokio's paused clock.

use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_runtime::grpc::{ClientConfig, ConnectionError, ServerConfig};

use crate::harness::runtime;
use crate::raw::{self, RawPeer};

const SECOND: Duration = Duration::from_secs(1);

fn server() -> ServerConfig {
    ServerConfig::agents(60 * SECOND)
}

/// Leaves only what is sent out of silence: settings and the like are read away.
async fn quiet(peer: &mut RawPeer) {
    peer.ping_pong([9; 8]).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_asked_and_then_given_up() {
    let (server, mut peer) = raw::client_of(&server()).await;
    quiet(&mut peer).await;
    let start = runtime().now();
    peer.expect(raw::PING).await;
    assert_eq!(runtime().now() - start, 60 * SECOND);
    let end = server.ended.await.unwrap();
    assert!(matches!(end, Err(ConnectionError::KeepaliveTimeout)));
    assert_eq!(runtime().now() - start, 80 * SECOND);
    assert_eq!(peer.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_is_asked_again() {
    let (_server, mut peer) = raw::client_of(&server()).await;
    quiet(&mut peer).await;
    let start = runtime().now();
    for round in 1..=3 {
        let ping = peer.expect(raw::PING).await;
        peer.send(raw::PING, raw::ACK, 0, &ping.payload).await;
        assert_eq!(runtime().now() - start, 60 * SECOND * round);
    }
}

/// Anything that arrives is a sign of life.
#[tokio::test(start_paused = true)]
async fn a_client_that_sends_is_not_asked() {
    let (_server, mut peer) = raw::client_of(&server()).await;
    quiet(&mut peer).await;
    let start = runtime().now();
    for _ in 0..3 {
        tokio::time::sleep(59 * SECOND).await;
        peer.send(raw::SETTINGS, 0, 0, &[]).await;
    }
    let ping = peer.expect(raw::PING).await;
    assert_eq!(runtime().now() - start, (3 * 59 + 60) * SECOND);
    // A late answer does no harm if something else came in time.
    tokio::time::sleep(19 * SECOND).await;
    peer.send(raw::SETTINGS, 0, 0, &[]).await;
    tokio::time::sleep(19 * SECOND).await;
    peer.send(raw::PING, raw::ACK, 0, &ping.payload).await;
    peer.expect(raw::PING).await;
    assert_eq!(
        runtime().now() - start,
        (3 * 59 + 60 + 19 + 19 + 60) * SECOND
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_even_without_calls() {
    let (client, mut peer) = raw::server_of(&ClientConfig::agent(SECOND)).await;
    quiet(&mut peer).await;
    let start = runtime().now();
    peer.expect(raw::PING).await;
    // Ten seconds at least, whatever was asked for.
    assert_eq!(runtime().now() - start, 10 * SECOND);
    let end = client.ended.await.unwrap();
    assert!(matches!(end, Err(ConnectionError::KeepaliveTimeout)));
    assert_eq!(runtime().now() - start, 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_frontend_client_never_asks() {
    let (client, mut peer) = raw::server_of(&ClientConfig::frontend()).await;
    quiet(&mut peer).await;
    tokio::time::sleep(86_400 * SECOND).await;
    assert!(!client.ended.is_finished());
}
