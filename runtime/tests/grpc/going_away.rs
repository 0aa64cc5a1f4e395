//! How connections end, and how both sides learn of it.

use dialback_runtime::grpc::{ConnectionError, Reason};
use http::HeaderMap;

use crate::harness::{agent, agents, data, echo, pair, receive, runtime, send};
use crate::raw;

use dialback_runtime::Runtime;
use dialback_runtime::grpc::{ServerConnection, Status};
use std::time::Duration;

#[tokio::test]
async fn a_client_learns_of_a_goaway_and_its_stream_goes_on() {
    let (mut client, mut peer) = raw::server_of(&agent()).await;
    let mut stream = client.connect();
    peer.expect(raw::HEADERS).await;
    peer.send_response(1).await;
    peer.ping_pong([1; 8]).await;
    assert!(client.caller.going_away().is_none());

    let mut goaway = vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    goaway.extend(b"draining");
    peer.send(raw::GOAWAY, 0, 0, &goaway).await;
    peer.ping_pong([2; 8]).await;
    match client.caller.going_away() {
        Some(ConnectionError::Http2(error)) => {
            assert_eq!(error.reason(), Some(Reason::NO_ERROR));
            assert!(error.to_string().contains("draining"));
        }
        other => panic!("expected a GOAWAY, got {other:?}"),
    }

    let message = data("still here");
    peer.send(raw::DATA, 0, 1, &bytes_of(message)).await;
    assert_eq!(receive(&mut stream).await, "still here");
}

fn bytes_of(mut message: dialback_runtime::grpc::Frame) -> bytes::Bytes {
    let length = message.len();
    bytes::Buf::copy_to_bytes(&mut message, length)
}

#[tokio::test]
async fn a_graceful_shutdown_lets_calls_finish() {
    let (near, far) = tokio::io::duplex(crate::harness::PIPE_BYTES);
    let runtime = runtime();
    let deadline = runtime.now() + Duration::from_secs(60);
    let config = agents();
    let client_config = agent();
    let (connection, mut client) = tokio::join!(
        ServerConnection::handshake(&runtime, near, &config, deadline),
        crate::harness::Client::start(far, &client_config)
    );
    let mut connection = connection.unwrap();
    let mut stream = client.connect();
    let call = connection.accept().await.unwrap().unwrap();
    let mut accepted = call.accept(HeaderMap::new()).unwrap();
    connection.graceful_shutdown();
    let ended = tokio::spawn(async move { connection.accept().await.map(|call| call.is_err()) });

    stream.response_headers().await.unwrap();
    send(&mut stream, data("last")).await;
    assert_eq!(receive(&mut accepted).await, "last");
    send(&mut accepted, data("words")).await;
    assert_eq!(receive(&mut stream).await, "words");
    assert!(client.caller.going_away().is_some());
    accepted.finish(&Status::ok());
    assert_eq!(stream.recv().await, None);
    drop((stream, client.caller));
    assert_eq!(ended.await.unwrap(), None);
    client.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_immediate_shutdown_ends_calls() {
    let (near, far) = tokio::io::duplex(crate::harness::PIPE_BYTES);
    let runtime = runtime();
    let deadline = runtime.now() + Duration::from_secs(60);
    let config = agents();
    let client_config = agent();
    let (connection, mut client) = tokio::join!(
        ServerConnection::handshake(&runtime, near, &config, deadline),
        crate::harness::Client::start(far, &client_config)
    );
    let mut connection = connection.unwrap();
    let mut stream = client.connect();
    let call = connection.accept().await.unwrap().unwrap();
    let mut accepted = call.accept(HeaderMap::new()).unwrap();
    connection.shutdown_now();
    assert!(connection.accept().await.is_none());
    assert!(accepted.recv().await.unwrap().is_err());
    assert!(stream.recv().await.unwrap().is_err());
    assert!(client.caller.going_away().is_some());
}

#[tokio::test]
async fn a_client_without_callers_and_streams_says_goodbye() {
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    tokio::spawn(echo(server.call().await.accept(HeaderMap::new()).unwrap()));
    send(&mut stream, data("hello")).await;
    assert_eq!(receive(&mut stream).await, "hello");
    drop(stream);
    drop(client.caller);
    client.ended.await.unwrap().unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_preface_is_dropped_in_time() {
    let (near, _far) = tokio::io::duplex(1024);
    let runtime = runtime();
    let started = runtime.now();
    let deadline = started + dialback_runtime::grpc::ACCEPT_TIMEOUT;
    let result = ServerConnection::handshake(&runtime, near, &agents(), deadline).await;
    assert!(matches!(result, Err(ConnectionError::HandshakeTimeout)));
    assert_eq!(runtime.now() - started, Duration::from_secs(120));
}
