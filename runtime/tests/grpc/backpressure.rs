//! A reader that does not read stops its own sender, after a bounded amount, and nobody else.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use dialback_runtime::Runtime;
use dialback_runtime::grpc::{
    ClientConnection, Http2Config, MessageStream, MethodName, ServerConnection, Target,
};
use http::HeaderMap;

use crate::harness::{
    PIPE_BYTES, Server, agent, agents, data, echo, pair, pattern, receive, runtime, send,
};

const MESSAGE_BYTES: usize = 10_000;

/// Sends until there is no room left even though everything else was given the chance to run; how many messages
/// that took.
async fn send_until_blocked(stream: &mut MessageStream) -> usize {
    let mut sent = 0;
    for idle in 0.. {
        if idle == 1000 {
            break;
        }
        let ready = poll_fn(|cx| Poll::Ready(stream.poll_send_ready(cx).is_ready())).await;
        if ready {
            stream.send(data(pattern(MESSAGE_BYTES))).unwrap();
            sent += 1;
            assert!(sent < 1000, "the sender is never stopped");
        }
        tokio::task::yield_now().await;
    }
    sent
}

#[tokio::test]
async fn a_sender_is_stopped_by_window_and_buffer_and_goes_on_after() {
    let mut config = agents();
    config.http2.stream_window = 100_000;
    let mut client_config = agent();
    client_config.http2.max_send_buffer = 50_000;
    let (mut server, mut client) = pair(&config, &client_config).await;
    let mut stream = client.connect();
    let mut accepted = server.call().await.accept(HeaderMap::new()).unwrap();
    // The window's settings arrive with the headers.
    stream.response_headers().await.unwrap();

    let sent = send_until_blocked(&mut stream).await;
    let most = 100_000 + 50_000 + 2 * MESSAGE_BYTES;
    assert!(sent * MESSAGE_BYTES <= most, "{sent} messages");
    assert!(sent * MESSAGE_BYTES >= 100_000, "{sent} messages");

    for _ in 0..sent {
        assert_eq!(receive(&mut accepted).await, pattern(MESSAGE_BYTES));
    }
    send(&mut stream, data("after")).await;
    assert_eq!(receive(&mut accepted).await, "after");
}

/// Asked for at once, which is before the first settings can have been acknowledged.
#[tokio::test]
async fn a_stream_window_that_is_set_later_holds_on_both_sides() {
    let (mut agents, mut agent) = (agents(), agent());
    for config in [&mut agents.http2, &mut agent.http2] {
        config.stream_window = 100_000;
        config.max_send_buffer = 50_000;
    }
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let runtime = runtime();
    let deadline = runtime.now() + Duration::from_secs(60);
    let target = Target::new(false, "proxy.test:8091").unwrap();
    let (serving, calling) = tokio::join!(
        ServerConnection::handshake(&runtime, near, &agents, deadline),
        ClientConnection::handshake(&runtime, far, target, &agent, deadline),
    );
    let mut serving = serving.unwrap();
    serving.set_stream_window(400_000);
    let mut server = Server::serve(serving);
    let (mut caller, mut connection) = calling.unwrap();
    connection.set_stream_window(300_000);
    tokio::spawn(async move { connection.closed().await });
    let mut stream = caller
        .call(&MethodName::CONNECT, HeaderMap::new(), None)
        .unwrap();
    let mut accepted = server.call().await.accept(HeaderMap::new()).unwrap();
    stream.response_headers().await.unwrap();

    for (sender, window) in [(&mut stream, 400_000), (&mut accepted, 300_000)] {
        let sent = send_until_blocked(sender).await * MESSAGE_BYTES;
        let most = window + 50_000 + 2 * MESSAGE_BYTES;
        assert!((window..=most).contains(&sent), "{sent} bytes");
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_only_its_own_stream() {
    let mut config = agents();
    config.http2 = Http2Config::frontend();
    let (mut server, mut client) = pair(&config, &agent()).await;
    let mut stuck = client.connect();
    let _unread = server.call().await.accept(HeaderMap::new()).unwrap();
    stuck.response_headers().await.unwrap();
    let mut lively = client.connect();
    tokio::spawn(echo(server.call().await.accept(HeaderMap::new()).unwrap()));

    let sent = send_until_blocked(&mut stuck).await;
    assert!(sent * MESSAGE_BYTES >= 256 * 1024);
    for _ in 0..200 {
        send(&mut lively, data(pattern(MESSAGE_BYTES))).await;
        assert_eq!(receive(&mut lively).await, pattern(MESSAGE_BYTES));
    }
}
