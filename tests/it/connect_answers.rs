//! What an HTTP-CONNECT frontend is told, byte for byte as by the reference.

use std::time::Duration;

use dialback_core::Packet;
use dialback_tests::endpoint::{ClosedPort, Endpoint, HangingPort};
use dialback_tests::frontend::{ESTABLISHED, answer_to, connect, request};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::peers::PlayedAgent;
use dialback_tests::run::run;
use dialback_tests::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

fn without_agents() -> PairOptions {
    PairOptions {
        agents: 0,
        ..PairOptions::default()
    }
}

/// kube-apiserver fails when bytes of the endpoint come with the answer.
#[test]
fn the_answer_comes_alone_even_if_the_endpoint_speaks_first() {
    run(async |_| {
        let mut options = PairOptions::default();
        // Longer than a busy machine keeps this test's reader from its turn.
        options.server.config.proxy_stream.first_data_hold = Duration::from_millis(500);
        let pair = Pair::start(options).await;
        let endpoint = Endpoint::greeting(b"220 welcome\r\n".to_vec()).await;
        for _ in 0..3 {
            let mut stream = TcpStream::connect(pair.server.tcp).await.unwrap();
            let sent = request(&endpoint.address.to_string());
            stream.write_all(&sent).await.unwrap();
            let mut first = vec![0; 4096];
            let read = within("an answer", stream.read(&mut first)).await.unwrap();
            assert_eq!(&first[..read], ESTABLISHED);
            let mut rest = Vec::new();
            within("the greeting", stream.read_to_end(&mut rest))
                .await
                .unwrap();
            assert_eq!(rest, b"220 welcome\r\n");
        }
        pair.end().await;
    });
}

#[test]
fn without_an_agent_500() {
    run(async |log| {
        let pair = Pair::start(without_agents()).await;
        assert_eq!(
            answer_to(&pair.socket(), &request("10.0.0.1:1")).await,
            "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\n\
             currently no tunnels available: No agent available"
        );
        log.tells(&["peer=@", "dial failed", "10.0.0.1:1", "No agent available"])
            .await;
        pair.end().await;
    });
}

#[test]
fn a_refused_dial_is_502_with_the_agents_words() {
    run(async |log| {
        let pair = Pair::start(PairOptions::default()).await;
        let closed = ClosedPort::new();
        let words = format!("dial tcp {}: connect: connection refused", closed.address);
        assert_eq!(
            answer_to(&pair.socket(), &request(&closed.address.to_string())).await,
            format!(
                "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\
                 Content-Type: text/plain; charset=utf-8\r\n\r\n{words}"
            )
        );
        log.tells(&["peer=@", "dial failed", &words]).await;
        let answer = answer_to(&pair.socket(), &request("no-port")).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(
            answer.ends_with("dial tcp: address no-port: missing port in address"),
            "{answer}"
        );
        pair.end().await;
    });
}

#[test]
fn an_endpoint_that_does_not_answer_is_504() {
    run(async |_| {
        let mut options = PairOptions::default();
        options.agent.dial_timeout = Duration::from_millis(50);
        let pair = Pair::start(options).await;
        let hanging = HangingPort::start().await;
        let answer = answer_to(&pair.socket(), &request(&hanging.address.to_string())).await;
        assert!(
            answer.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"),
            "{answer}"
        );
        assert!(answer.ends_with("i/o timeout"), "{answer}");
        pair.end().await;
    });
}

#[test]
fn an_agent_that_does_not_answer_is_504_and_stays() {
    run(async |_| {
        let mut options = without_agents();
        options.server.config.link.dial_timeout = Some(Duration::from_millis(100));
        let pair = Pair::start(options).await;
        let mut agent = PlayedAgent::connect(&pair.pki, pair.server.agent_address, "mute").await;
        assert_eq!(
            answer_to(&pair.socket(), &request("10.0.0.1:1")).await,
            "HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             Backend dial timeout: timed out waiting for backend dial\r\n"
        );
        // An answer that comes too late opens a connection that nobody wants.
        let late = agent.accept_dial(1).await;
        let next = agent.call.recv().await.unwrap();
        let next = match next {
            Packet::CloseDial { .. } => agent.call.recv().await.unwrap(),
            other => other,
        };
        let connect_id = Some(late);
        assert_eq!(next, Packet::CloseRequest { connect_id });
        pair.server.agents(1).await;
        drop(agent);
        pair.end().await;
    });
}

#[test]
fn an_agent_lost_while_the_dial_is_pending_is_502() {
    run(async |_| {
        let pair = Pair::start(without_agents()).await;
        let mut agent = PlayedAgent::connect(&pair.pki, pair.server.agent_address, "gone").await;
        let socket = pair.socket();
        let asking = tokio::spawn(async move { answer_to(&socket, &request("10.0.0.1:1")).await });
        agent.next_dial().await;
        drop(agent);
        assert_eq!(
            within("an answer", asking).await.unwrap(),
            "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
             Backend context error: context canceled\r\n"
        );
        pair.end().await;
    });
}

#[test]
fn a_dial_that_the_agent_closes_ends_without_a_word() {
    run(async |_| {
        let pair = Pair::start(without_agents()).await;
        let mut agent = PlayedAgent::connect(&pair.pki, pair.server.agent_address, "curt").await;
        let socket = pair.socket();
        let asking = tokio::spawn(async move { answer_to(&socket, &request("10.0.0.1:1")).await });
        let dial = agent.next_dial().await;
        agent.call.send(Packet::CloseDial { dial }).await;
        assert_eq!(within("the end", asking).await.unwrap(), "");
        drop(agent);
        pair.end().await;
    });
}

#[test]
fn other_methods_are_405_and_the_connection_stays_usable() {
    run(async |log| {
        let pair = Pair::start(PairOptions::default()).await;
        let echo = Endpoint::echo().await;
        let mut stream = UnixStream::connect(pair.socket()).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            .await
            .unwrap();
        let body = "this proxy only supports CONNECT passthrough\n";
        let mut answer = Vec::new();
        within("an answer", async {
            while !answer.ends_with(body.as_bytes()) {
                answer.push(stream.read_u8().await.unwrap());
            }
        })
        .await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
            "{answer}"
        );
        assert!(answer.contains("\r\nContent-Length: 45\r\n"), "{answer}");
        let mut stream = dialback_tests::frontend::dial(stream, &echo.address.to_string())
            .await
            .unwrap();
        dialback_tests::frontend::exchange(&mut stream, b"still here").await;
        log.tells(&["peer=@", "asks for no tunnel"]).await;
        drop(stream);
        pair.end().await;
    });
}

#[test]
fn requests_that_are_none_are_400_and_the_log_says_so() {
    const BAD: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                       Connection: close\r\n\r\n400 Bad Request";
    run(async |log| {
        let pair = Pair::start(PairOptions::default()).await;
        for request in [
            "connect 10.0.0.1:1 HTTP/1.1\r\nHost: here\r\n\r\n",
            "CONNECT 10.0.0.1:1\r\n\r\n",
            "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
            "CONNECT 10.0.0.1:1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        ] {
            let answer = answer_to(&pair.socket(), request.as_bytes()).await;
            assert!(answer.starts_with(&BAD[..60]), "{request:?}: {answer}");
        }
        log.tells(&["peer=@", "asks for no tunnel"]).await;
        // None of it went near an agent.
        let echo = Endpoint::echo().await;
        connect(&pair.socket(), &echo.address.to_string())
            .await
            .unwrap();
        pair.end().await;
    });
}
