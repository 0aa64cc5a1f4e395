//! The server of the health and admin ports, over loopback.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::net::SocketAddr;
use std::time::Duration;

use dialback_runtime::http::{HttpLimits, Request, Response, serve_http, server_health};
use dialback_runtime::listen::{ExistingFile, bind_tcp, bind_unix};
use dialback_runtime::metrics::ServerMetrics;
use dialback_runtime::{Listener, Runtime, Task};
use dialback_tokio::{TokioRuntime, TokioTask};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

/// A server that answers with the method and the path.
struct Server {
    address: SocketAddr,
    task: Option<TokioTask>,
    runtime: TokioRuntime,
}

impl Server {
    fn start() -> Self {
        Self::with_limits(HttpLimits::default())
    }

    fn with_limits(limits: HttpLimits) -> Self {
        let runtime = TokioRuntime::current().unwrap();
        let listener = runtime
            .tcp_listener(bind_tcp("127.0.0.1", 0).unwrap())
            .unwrap();
        let address = listener.local_addr().unwrap();
        let serving = {
            let runtime = runtime.clone();
            async move {
                let echo = |request: &Request<'_>| {
                    Response::ok(format!("{} {}", request.method, request.path))
                };
                serve_http(&runtime, &listener, &limits, echo).await;
            }
        };
        Self {
            address,
            task: Some(runtime.spawn(serving)),
            runtime,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends, closes the sending direction, and takes everything until the end.
    async fn exchange(&self, request: &str) -> String {
        let mut socket = self.connect().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Reads one response with a `Content-Length`; returns its body.
async fn response(socket: &mut TcpStream) -> String {
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        header.push(socket.read_u8().await.unwrap());
    }
    let header = String::from_utf8(header).unwrap();
    let length = header
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    socket.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
}

fn bodies(answers: &str) -> Vec<&str> {
    answers
        .split("HTTP/1.1 200 OK\r\n")
        .skip(1)
        .map(|answer| answer.split_once("\r\n\r\n").unwrap().1)
        .collect()
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start();
    let mut socket = server.connect().await;
    for path in ["/a", "/b", "/c"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        // Byte by byte: a header may come in any pieces.
        for byte in request.as_bytes() {
            socket.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(response(&mut socket).await, format!("GET {path}"));
    }
}

#[tokio::test]
async fn requests_may_be_sent_ahead_and_bodies_are_skipped() {
    let server = Server::start();
    let requests = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n\
                    POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\nGET /no\r\n\r\n\
                    HEAD /c HTTP/1.1\r\nHost: x\r\n\r\n\
                    DELETE /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
                    GET /never HTTP/1.1\r\nHost: x\r\n\r\n";
    let answers = server.exchange(requests).await;
    assert_eq!(bodies(&answers), ["GET /a", "POST /b", "", "DELETE /d"]);
    assert_eq!(answers.matches("Connection: close").count(), 1);
}

#[tokio::test]
async fn behind_a_body_of_unknown_length_the_connection_ends() {
    let server = Server::start();
    let request = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                   1\r\nx\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
    let answers = server.exchange(request).await;
    assert_eq!(bodies(&answers), ["POST /a"]);
    assert!(answers.contains("Connection: close\r\n"));
}

#[tokio::test]
async fn what_is_no_request_is_answered_as_in_go() {
    let server = Server::start();
    let limit = HttpLimits::default().max_header_bytes;
    let cases = [
        ("nonsense\r\n\r\n".to_owned(), "400 Bad Request"),
        (
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            "400 Bad Request: missing required Host header",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
                "x".repeat(limit)
            ),
            "431 Request Header Fields Too Large",
        ),
    ];
    for (request, status) in cases {
        assert_eq!(
            server.exchange(&request).await,
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Connection: close\r\n\r\n{status}"
            )
        );
    }
}

#[tokio::test]
async fn what_does_not_speak_http_is_told_at_its_first_bytes() {
    let server = Server::start();
    let mut socket = server.connect().await;
    // The beginning of a TLS handshake, by somebody who waits for the answer.
    socket.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    let mut answer = vec![0; 24];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 400 Bad Request");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_slow_or_idle_is_let_go_in_time() {
    let server = Server::start();
    for sent in ["", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let start = server.runtime.now();
        let mut socket = server.connect().await;
        socket.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty());
        let took = server.runtime.now() - start;
        let limit = HttpLimits::default().timeout;
        let tick = Duration::from_millis(2);
        assert!((limit - tick..=limit + tick).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn connections_end_with_the_server() {
    let mut server = Server::start();
    let mut socket = server.connect().await;
    socket
        .write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(response(&mut socket).await, "GET /a");
    server.task.take().unwrap().abort();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_server_is_probed_over_a_unix_socket_too() {
    let runtime = TokioRuntime::current().unwrap();
    let path = std::env::temp_dir().join(format!("dialback-http-{}.sock", std::process::id()));
    let socket = bind_unix(&path, ExistingFile::ReplaceSocket).unwrap();
    let listener = runtime.unix_listener(socket.listener).unwrap();
    let metrics = ServerMetrics::new();
    let routes = server_health(|| true.into(), metrics.registry().clone());
    let (asked, answered) = oneshot::channel();
    let probe = async {
        let mut client = UnixStream::connect(&path).await.unwrap();
        let request = b"GET /metrics?name[]=dialback_build_info HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        asked.send(answer).unwrap();
    };
    let limits = HttpLimits::default();
    tokio::select! {
        () = serve_http(&runtime, &listener, &limits, routes) => {}
        () = probe => {}
    }
    let answer = answered.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(answer.contains(
        "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores\r\n"
    ));
    assert!(answer.contains("\r\n\r\n# HELP dialback_build_info "));
    assert!(answer.ends_with("\"} 1\n"));
}
