//! A reader that does not read stops its own sender, after a bounded amount, and nobody else.

use std::future::poll_fn;
use std::task::Poll;

use dialback_runtime::grpc::{Http2Config, MessageStream};
use http::HeaderMap;

use crate::harness::{agent, agents, data, echo, pair, pattern, receive, send};

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
