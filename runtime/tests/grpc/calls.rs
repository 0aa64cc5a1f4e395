//! How calls begin and end.

use std::future::poll_fn;
use std::time::Duration;

use dialback_runtime::grpc::{Code, MethodName, Reason, Status};
use http::{HeaderMap, Request};

use crate::harness::{PIPE_BYTES, Server, agent, agents, data, pair, pattern, receive, send};
use crate::raw;

fn metadata(key: &'static str, value: &'static str) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    metadata.insert(key, value.parse().unwrap());
    metadata
}

#[tokio::test]
async fn metadata_goes_both_ways_before_any_message() {
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client
        .caller
        .call(
            &MethodName::CONNECT,
            metadata("agentid", "a"),
            Some(Duration::from_secs(7)),
        )
        .unwrap();
    let call = server.call().await.route(&MethodName::CONNECT).unwrap();
    assert_eq!(call.path(), "/AgentService/Connect");
    assert_eq!(call.metadata()["agentid"], "a");
    assert_eq!(call.metadata()["te"], "trailers");
    assert_eq!(
        call.metadata()["user-agent"],
        concat!("dialback/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(call.timeout(), Some(Duration::from_secs(7)));
    let _accepted = call.accept(metadata("serverid", "s")).unwrap();
    assert_eq!(stream.response_headers().await.unwrap()["serverid"], "s");
}

#[tokio::test]
async fn a_refusal_is_one_frame_and_keeps_its_status() {
    let status = Status::new(Code::Unknown, "läuft nicht: 100 %");
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    server.call().await.reject(&status);
    assert_eq!(stream.response_headers().await, Err(status.clone()));
    assert_eq!(stream.recv().await, None);

    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/AgentService/Connect").await;
    server.call().await.reject(&status);
    let frame = peer.expect(raw::HEADERS).await;
    assert_eq!(frame.flags, raw::END_HEADERS | raw::END_STREAM);
}

#[tokio::test]
async fn a_refusal_is_also_seen_by_a_client_that_does_not_ask_for_headers() {
    let status = Status::new(Code::Unauthenticated, "who are you?");
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    server.call().await.reject(&status);
    assert_eq!(stream.recv().await, Some(Err(status)));
}

#[tokio::test]
async fn headers_of_a_lazy_answer_come_with_the_first_message() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/ProxyService/Proxy").await;
    let mut stream = server.call().await.accept_lazily(HeaderMap::new());
    // Nothing but acknowledgements until then.
    peer.send(raw::PING, 0, 0, &[1; 8]).await;
    loop {
        let frame = peer.next().await.unwrap();
        assert_ne!(frame.kind, raw::HEADERS);
        if frame.kind == raw::PING {
            break;
        }
    }
    send(&mut stream, data("hello")).await;
    assert_eq!(peer.expect(raw::HEADERS).await.flags, raw::END_HEADERS);
    assert!(peer.expect(raw::DATA).await.payload.ends_with(b"hello"));
}

#[tokio::test]
async fn a_lazy_answer_without_messages_is_one_frame() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/ProxyService/Proxy").await;
    let stream = server.call().await.accept_lazily(HeaderMap::new());
    stream.finish(&Status::ok());
    let frame = peer.expect(raw::HEADERS).await;
    assert_eq!(frame.flags, raw::END_HEADERS | raw::END_STREAM);
}

#[tokio::test]
async fn the_status_follows_all_messages() {
    let status = Status::new(Code::Unavailable, "no more");
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    let mut accepted = server.call().await.accept(HeaderMap::new()).unwrap();
    for length in [300_000, 3] {
        send(&mut accepted, data(pattern(length))).await;
    }
    accepted.finish(&status);
    assert_eq!(receive(&mut stream).await, pattern(300_000));
    assert_eq!(receive(&mut stream).await, pattern(3));
    assert_eq!(stream.recv().await, Some(Err(status)));
    assert_eq!(stream.recv().await, None);
    assert!(stream.send_ready().await.is_err());
}

/// As a Go server does.
#[tokio::test]
async fn a_finished_call_tells_a_client_that_still_sends_to_stop() {
    let (mut server, mut peer) = raw::client_of(&agents()).await;
    peer.send_request(1, "/AgentService/Connect").await;
    let stream = server.call().await.accept(HeaderMap::new()).unwrap();
    stream.finish(&Status::ok());
    peer.expect(raw::HEADERS).await;
    let trailers = peer.expect(raw::HEADERS).await;
    assert_eq!(trailers.flags, raw::END_HEADERS | raw::END_STREAM);
    let reset = peer.expect(raw::RST_STREAM).await;
    assert_eq!(reset.payload, 0_u32.to_be_bytes());
}

#[tokio::test]
async fn a_reset_after_the_trailers_is_an_orderly_end() {
    let (mut client, mut peer) = raw::server_of(&agent()).await;
    let mut stream = client.connect();
    peer.expect(raw::HEADERS).await;
    peer.send_response(1).await;
    let trailers = [("grpc-status", "0"), ("grpc-message", "")];
    peer.send_headers(1, raw::END_STREAM, &trailers).await;
    peer.send(raw::RST_STREAM, 0, 1, &0_u32.to_be_bytes()).await;
    peer.ping_pong([1; 8]).await;
    assert_eq!(stream.recv().await, None);
}

#[tokio::test]
async fn an_end_without_trailers_is_an_error() {
    let (mut client, mut peer) = raw::server_of(&agent()).await;
    let mut stream = client.connect();
    peer.expect(raw::HEADERS).await;
    peer.send_response(1).await;
    peer.send(raw::DATA, raw::END_STREAM, 1, &[]).await;
    assert_eq!(
        stream.recv().await.unwrap().unwrap_err().code,
        Code::Internal
    );
}

#[tokio::test]
async fn an_answer_that_is_not_grpc_is_an_error() {
    let (mut client, mut peer) = raw::server_of(&agent()).await;
    let mut stream = client.connect();
    peer.expect(raw::HEADERS).await;
    let fields = [(":status", "502"), ("content-type", "text/html")];
    peer.send_headers(1, 0, &fields).await;
    let status = stream.response_headers().await.unwrap_err();
    assert_eq!(status.code, Code::Unavailable);
}

#[tokio::test]
async fn resets_reach_the_other_end_with_their_meaning() {
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    let mut accepted = server.call().await.accept(HeaderMap::new()).unwrap();
    stream.response_headers().await.unwrap();
    stream.reset(Reason::CANCEL);
    assert_eq!(
        poll_fn(|cx| accepted.poll_reset(cx)).await.code,
        Code::Canceled
    );
    assert_eq!(
        accepted.recv().await.unwrap().unwrap_err().code,
        Code::Canceled
    );
    assert_eq!(accepted.recv().await, None);

    let mut stream = client.connect();
    let accepted = server.call().await.accept(HeaderMap::new()).unwrap();
    accepted.reset(Reason::REFUSED_STREAM);
    assert_eq!(
        stream.recv().await.unwrap().unwrap_err().code,
        Code::Unavailable
    );
}

#[tokio::test]
async fn a_stream_dropped_before_its_end_is_canceled() {
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    drop(server.call().await.accept(HeaderMap::new()).unwrap());
    stream.response_headers().await.unwrap();
    assert_eq!(
        stream.recv().await.unwrap().unwrap_err().code,
        Code::Canceled
    );
}

#[tokio::test]
async fn a_lost_connection_ends_its_calls() {
    let (mut server, mut client) = pair(&agents(), &agent()).await;
    let mut stream = client.connect();
    let mut accepted = server.call().await.accept(HeaderMap::new()).unwrap();
    stream.response_headers().await.unwrap();
    client.ended.abort();
    assert_eq!(
        accepted.recv().await.unwrap().unwrap_err().code,
        Code::Unavailable
    );
    assert_eq!(
        stream.recv().await.unwrap().unwrap_err().code,
        Code::Unavailable
    );
}

#[tokio::test]
async fn calls_that_are_not_served_get_the_answers_of_grpc_go() {
    let served = [
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.83.0"),
    ];
    let cases = [
        (
            ("POST", "/Other/Connect", served),
            (200, "12", "unknown service Other"),
        ),
        (
            ("POST", "/AgentService/Other", served),
            (200, "12", "unknown method Other for service AgentService"),
        ),
        (
            ("PUT", "/AgentService/Connect", served),
            (
                405,
                "13",
                "Received a HEADERS frame with :method \"PUT\" which should be POST",
            ),
        ),
        (
            (
                "POST",
                "/AgentService/Connect",
                [("content-type", "text/plain"), ("te", "trailers")],
            ),
            (415, "3", "invalid gRPC request content-type \"text/plain\""),
        ),
        (
            (
                "POST",
                "/AgentService/Connect",
                [served[0], ("grpc-timeout", "soon")],
            ),
            (400, "13", "malformed grpc-timeout: \"soon\""),
        ),
        (
            (
                "POST",
                "/AgentService/Connect",
                [served[0], ("grpc-encoding", "gzip")],
            ),
            (
                200,
                "12",
                "grpc: Decompressor is not installed for grpc-encoding \"gzip\"",
            ),
        ),
    ];
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let config = agents();
    let (mut server, client) =
        tokio::join!(Server::start(near, &config), h2::client::handshake(far));
    let (mut client, connection) = client.unwrap();
    tokio::spawn(connection);
    for ((method, path, fields), (http, code, message)) in cases {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://proxy.test{path}"));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let (response, _) = client
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        server.call().await.route(&MethodName::CONNECT).unwrap_err();
        let response = response.await.unwrap();
        assert_eq!(response.status(), http, "{message}");
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(response.headers()["grpc-status"], code, "{message}");
        assert_eq!(response.headers()["grpc-message"], message);
        assert!(response.into_body().is_end_stream());
    }
}
