//! Messages of every size, whole and in order.

use bytes::Bytes;
use dialback_runtime::grpc::{Code, Http2Config, Status};
use http::HeaderMap;

use crate::harness::{agent, agents, data, echo, pair, pattern, receive, send};
use crate::raw::{self, RawPeer};

#[tokio::test]
async fn messages_are_echoed_in_order() {
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    tokio::spawn(echo(server.call().await.accept(HeaderMap::new()).unwrap()));
    for length in [0, 1, 5, 255, 256, 257, 16_384, 65_535, 131_072, 1_000_000] {
        send(&mut stream, data(pattern(length))).await;
        assert_eq!(receive(&mut stream).await, pattern(length), "{length}");
    }
    stream.half_close();
    assert_eq!(stream.recv().await, None);
    drop((stream, client.caller));
    client.ended.await.unwrap().unwrap();
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_larger_than_the_window_passes_both_ways() {
    let small = Http2Config {
        stream_window: 1000,
        connection_window: 65_535,
        max_send_buffer: 2000,
        ..Http2Config::tunnel()
    };
    let (mut server_config, mut client_config) = (agents(), agent());
    server_config.http2 = small.clone();
    client_config.http2 = small;
    let (mut server, mut client) = pair(&server_config, &client_config).await;
    let mut stream = client.connect();
    tokio::spawn(echo(server.call().await.accept(HeaderMap::new()).unwrap()));
    for length in [3_000_000, 1, 100_000] {
        send(&mut stream, data(pattern(length))).await;
        assert_eq!(receive(&mut stream).await, pattern(length), "{length}");
    }
}

#[tokio::test]
async fn a_message_above_the_limit_ends_the_call_as_in_grpc_go() {
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    let mut accepted = server.call().await.accept(HeaderMap::new()).unwrap();
    let too_much = 4 * 1024 * 1024;
    send(&mut stream, data(pattern(too_much))).await;
    let status = accepted.recv().await.unwrap().unwrap_err();
    // Type (2 bytes), the field's key and length (1 + 4), connect id (2), the data's key and length (1 + 4).
    let length = too_much + 14;
    let expected = Status::new(
        Code::ResourceExhausted,
        format!("grpc: received message larger than max ({length} vs. 4194304)"),
    );
    assert_eq!(status, expected);
    accepted.finish(&status);
    assert_eq!(stream.recv().await, Some(Err(expected)));
    assert_eq!(stream.recv().await, None);
}

/// h2 alone takes many small frames that nobody has read yet for an attack.
#[tokio::test]
async fn small_frames_may_wait_unread_at_a_server() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/AgentService/Connect").await;
    let mut stream = server.call().await.accept(HeaderMap::new()).unwrap();
    send_bytewise(&mut peer).await;
    assert_eq!(receive(&mut stream).await, pattern(3000));
}

#[tokio::test]
async fn small_frames_may_wait_unread_at_a_client() {
    let (mut client, mut peer) = raw::server_of(&agent()).await;
    let mut stream = client.connect();
    peer.expect(raw::HEADERS).await;
    peer.send_response(1).await;
    send_bytewise(&mut peer).await;
    assert_eq!(receive(&mut stream).await, pattern(3000));
}

/// Sends one message in frames of one byte, and waits until the other side has seen all of them.
async fn send_bytewise(peer: &mut RawPeer) {
    let mut message = data(pattern(3000));
    let message = bytes::Buf::copy_to_bytes(&mut message, data(pattern(3000)).len());
    for byte in message.chunks(1) {
        peer.send(raw::DATA, 0, 1, byte).await;
    }
    peer.ping_pong([7; 8]).await;
}

#[tokio::test]
async fn a_compressed_message_is_refused() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/AgentService/Connect").await;
    let mut stream = server.call().await.accept(HeaderMap::new()).unwrap();
    peer.send(raw::DATA, 0, 1, &[1, 0, 0, 0, 0]).await;
    assert_eq!(
        stream.recv().await.unwrap().unwrap_err(),
        Status::new(
            Code::Internal,
            "grpc: compressed flag set with identity or empty encoding"
        )
    );
}

#[tokio::test]
async fn an_end_inside_a_message_is_an_error() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/AgentService/Connect").await;
    let mut stream = server.call().await.accept(HeaderMap::new()).unwrap();
    peer.send(raw::DATA, raw::END_STREAM, 1, &[0, 0, 0, 0, 9, 1])
        .await;
    let status = stream.recv().await.unwrap().unwrap_err();
    assert_eq!(status.code, Code::Internal);
    assert_eq!(stream.recv().await, None::<Result<Bytes, Status>>);
}
