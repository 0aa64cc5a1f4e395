//! A client that sends too many PINGs is sent away, in the way that Go clients understand.

use std::time::Duration;

use dialback_runtime::grpc::{ConnectionError, ServerConfig};
use http::HeaderMap;

use crate::harness::{agents, data, send};
use crate::raw;

const SECOND: Duration = Duration::from_secs(1);
const ENHANCE_YOUR_CALM: u32 = 11;

/// Far from any keep-alive of the server's own.
fn frontends() -> ServerConfig {
    ServerConfig::frontends(1000 * 3600 * SECOND)
}

#[tokio::test(start_paused = true)]
async fn quick_pings_are_answered_until_there_are_too_many() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/AgentService/Connect").await;
    let mut stream = server.call().await.accept(HeaderMap::new()).unwrap();
    peer.expect(raw::HEADERS).await;
    for payload in 0..4 {
        peer.ping_pong([payload; 8]).await;
    }
    let goaway = peer.expect(raw::GOAWAY).await;
    assert_eq!(goaway.goaway(), (ENHANCE_YOUR_CALM, &b"too_many_pings"[..]));
    assert_eq!(peer.next().await, None);
    assert!(stream.recv().await.unwrap().is_err());
    let end = server.ended.await.unwrap();
    assert!(matches!(end, Err(ConnectionError::TooManyPings)));
}

#[tokio::test(start_paused = true)]
async fn pings_that_keep_their_distance_are_welcome() {
    let (server, mut peer) = raw::client_of(&agents()).await;
    for _ in 0..20 {
        peer.ping_pong([1; 8]).await;
        tokio::time::sleep(30 * SECOND).await;
    }
    assert!(!server.ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn without_calls_a_frontend_may_ping_every_two_hours_only() {
    let (_server, mut peer) = raw::client_of(&frontends()).await;
    for _ in 0..5 {
        peer.ping_pong([1; 8]).await;
        tokio::time::sleep(7200 * SECOND).await;
    }
    for _ in 0..3 {
        peer.ping_pong([1; 8]).await;
        tokio::time::sleep(600 * SECOND).await;
    }
    peer.send(raw::PING, 0, 0, &[1; 8]).await;
    peer.expect(raw::GOAWAY).await;
}

#[tokio::test(start_paused = true)]
async fn with_a_call_a_frontend_may_ping_every_five_minutes() {
    let (mut server, mut peer) = raw::client_of(&frontends()).await;
    peer.send_request(1, "/ProxyService/Proxy").await;
    let _stream = server.call().await.accept_lazily(HeaderMap::new());
    for _ in 0..20 {
        peer.ping_pong([1; 8]).await;
        tokio::time::sleep(300 * SECOND).await;
    }
    assert!(!server.ended.is_finished());
}

/// grpc-go measures the bandwidth with PINGs, nearly one for each message it receives.
#[tokio::test(start_paused = true)]
async fn pings_in_answer_to_data_are_no_offence() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/AgentService/Connect").await;
    let mut stream = server.call().await.accept(HeaderMap::new()).unwrap();
    for _ in 0..100 {
        send(&mut stream, data("something")).await;
        peer.expect(raw::DATA).await;
        peer.ping_pong([2, 4, 16, 16, 9, 14, 7, 7]).await;
    }
    assert!(!server.ended.is_finished());
}
