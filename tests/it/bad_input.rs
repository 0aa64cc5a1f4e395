//! Garbage, truncated, oversized and out-of-order input on every listener, and to an agent: the rest of the
//! traffic goes on, nothing is left, and the log names the peer and the reason.

use dialback_core::{ConnectId, DialId, Packet};
use dialback_tests::agent::{AgentOptions, RunningAgent};
use dialback_tests::call::{CONNECT, Connection, End, PROXY, framed};
use dialback_tests::canary::{Canary, PLAYED, PLAYED_IDENTIFIERS};
use dialback_tests::endpoint::Endpoint;
use dialback_tests::frontend::{connect_tcp, data, dial_request};
use dialback_tests::pair::PairOptions;
use dialback_tests::peers::{PlayedAgent, PlayedLink, PlayedServer, agent_tls};
use dialback_tests::pki::Pki;
use dialback_tests::run::run;
use dialback_tests::wait::within;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bytes that are nothing, the same in every run.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(bytes)
    .collect()
}

/// Sends bytes and waits until the server has closed the connection.
async fn thrown_out<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) {
    // The server may close while it still gets some.
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let _ = within("the server closes", stream.read_to_end(&mut rest)).await;
}

async fn tcp(address: std::net::SocketAddr) -> (TcpStream, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let peer = format!("peer={}", stream.local_addr().unwrap());
    (stream, peer)
}

/// gRPC messages that end the call they come on, with the status and the words for the log.
fn bad_messages() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let mut compressed = framed(b"x");
    compressed[0] = 1;
    let mut format = framed(b"x");
    format[0] = 9;
    vec![
        (framed(&noise(100)), "13", "failed to unmarshal"),
        // DATA whose payload is shorter than it says.
        (
            framed(b"\x08\x04\x22\x20\x08\x01"),
            "13",
            "failed to unmarshal",
        ),
        // DIAL_RSP with an error that is no UTF-8.
        (
            framed(b"\x08\x01\x1a\x04\x0a\x02\xff\xfe"),
            "13",
            "failed to unmarshal",
        ),
        (
            b"\0\x00\x50\x00\x00".to_vec(),
            "8",
            "received message larger than max (5242880 vs. 4194304)",
        ),
        (
            b"\0\xff\xff\xff\xff".to_vec(),
            "8",
            "received message larger than max (4294967295 vs. 4194304)",
        ),
        (compressed, "13", "compressed flag set"),
        (format, "13", "unexpected payload format 9"),
    ]
}

#[test]
fn on_the_connect_listener() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default()).await;
        let address = canary.pair.server.tcp;
        let endless = [
            b"CONNECT 10.0.0.1:1 HTTP/1.1\r\nX: ".to_vec(),
            vec![b'x'; 2 << 20],
        ];
        let many: String = (0..1000).map(|n| format!("X-{n}: y\r\n")).collect();
        let many = format!("CONNECT 10.0.0.1:1 HTTP/1.1\r\n{many}\r\n");
        for (input, reason) in [
            (
                [noise(3000), b"\r\n\r\n".to_vec()].concat(),
                "400 Bad Request",
            ),
            (
                b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec(),
                "400 Bad Request",
            ),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), ""),
            (endless.concat(), "431 Request Header Fields Too Large"),
            (many.into_bytes(), ""),
        ] {
            let (mut stream, peer) = tcp(address).await;
            thrown_out(&mut stream, &input).await;
            log.tells(&[&peer, "asks for no tunnel", reason]).await;
            canary.sings().await;
        }
        canary.end().await;
    });
}

#[test]
fn on_the_tls_frontend_listener() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default()).await;
        let address = canary.pair.server.tls;
        for input in [noise(3000), b"CONNECT 10.0.0.1:1 HTTP/1.1\r\n\r\n".to_vec()] {
            let (mut stream, peer) = tcp(address).await;
            thrown_out(&mut stream, &input).await;
            log.tells(&[&peer, "TLS handshake with a frontend failed"])
                .await;
            canary.sings().await;
        }
        // Without a certificate.
        let (stream, peer) = tcp(address).await;
        let connector = TlsConnector::from(canary.pair.pki.anonymous(&["http/1.1"]));
        let name = ServerName::try_from("localhost").unwrap();
        if let Ok(mut stream) = connector.connect(name, stream).await {
            thrown_out(&mut stream, b"CONNECT 10.0.0.1:1 HTTP/1.1\r\n\r\n").await;
        }
        log.tells(&[&peer, "TLS handshake with a frontend failed"])
            .await;
        canary.sings().await;
        canary.end().await;
    });
}

#[test]
fn on_the_grpc_frontend_listener() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default().grpc()).await;
        let address = canary.pair.server.tcp;

        // No HTTP/2, and frames that break it: DATA on stream 0, a frame beyond the size we allow.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for (input, reason) in [
            (noise(3000), "HTTP/2"),
            (b"CONNECT 10.0.0.1:1 HTTP/1.1\r\n\r\n".to_vec(), "HTTP/2"),
            (
                [preface.clone(), b"\0\0\x01\0\0\0\0\0\0x".to_vec()].concat(),
                "HTTP/2",
            ),
            (
                [preface.clone(), b"\xff\xff\xff\0\0\0\0\0\x01".to_vec()].concat(),
                "HTTP/2",
            ),
            (
                [
                    preface,
                    b"\0\0\x04\x01\x04\0\0\0\x01\xff\xff\xff\xff".to_vec(),
                ]
                .concat(),
                "HTTP/2",
            ),
        ] {
            let (mut stream, peer) = tcp(address).await;
            thrown_out(&mut stream, &input).await;
            log.tells(&[&peer, "of a frontend", reason]).await;
            canary.sings().await;
        }

        // Calls of something else.
        let (stream, peer) = tcp(address).await;
        let mut connection = Connection::start(stream).await;
        for path in [CONNECT, "/", "/ProxyService/Other"] {
            let mut call = connection.call(path, &[("agentid", "lost")]).await;
            let end = call.end().await;
            assert!(end.has_code("12"), "{path}: {end:?}");
        }
        log.tells(&[&peer, "call refused", "unknown service AgentService"])
            .await;

        // Messages, before a dial and in the middle of a stream. The connection stays.
        let echo = canary.echo.address.to_string();
        for dialled in [false, true] {
            for (input, code, reason) in bad_messages() {
                let mut call = connection.call(PROXY, &[]).await;
                if dialled {
                    call.send(dial_request(&echo)).await;
                    call.recv().await.unwrap();
                }
                let _ = call.sender.send_raw(input);
                let end = call.end().await;
                assert!(end.has_code(code), "{reason}: {end:?}");
                log.tells(&[&peer, "stream of a frontend failed", reason])
                    .await;
            }
            // Cut off inside a message.
            let mut call = connection.call(PROXY, &[]).await;
            call.sender
                .send_raw(framed(b"long enough")[..9].to_vec())
                .unwrap();
            call.sender.finish();
            assert!(call.end().await.has_code("13"));
            canary.sings().await;
        }
        drop(connection);
        canary.end().await;
    });
}

#[test]
fn on_the_agent_listener() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default()).await;
        let address = canary.pair.server.agent_address;
        let pki = &canary.pair.pki;

        // No TLS.
        for input in [noise(3000), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
            let (mut stream, peer) = tcp(address).await;
            thrown_out(&mut stream, &input).await;
            log.tells(&[&peer, "TLS handshake with an agent failed"])
                .await;
        }
        // TLS without a certificate, and without HTTP/2.
        for (config, reason) in [
            (pki.anonymous(&["h2"]), "TLS handshake with an agent failed"),
            (pki.client(&[]), "did not negotiate HTTP/2"),
        ] {
            let (stream, peer) = tcp(address).await;
            let connector = TlsConnector::from(config);
            let name = ServerName::try_from("localhost").unwrap();
            if let Ok(mut stream) = connector.connect(name, stream).await {
                thrown_out(&mut stream, b"").await;
            }
            log.tells(&[&peer, reason]).await;
        }
        // TLS and no HTTP/2 behind it.
        let mut stream = agent_tls(pki, address).await;
        let peer = format!("peer={}", stream.get_ref().0.local_addr().unwrap());
        thrown_out(&mut stream, &noise(3000)).await;
        log.tells(&[&peer, "HTTP/2 connection of an agent failed"])
            .await;
        // Another call, and an agent that does not say who it is, or what.
        let metadata: [&[(&str, &str)]; 4] = [
            &[],
            &[("agentid", "one"), ("agentid", "two")],
            &[("agentid", "a"), ("agentidentifiers", "host=a;b")],
            &[
                ("agentid", "a"),
                ("agentidentifiers", "host=a"),
                ("agentidentifiers", "host=b"),
            ],
        ];
        let reasons = [
            "expected one agent ID in the context, got []",
            "expected one agent ID in the context, got [one two]",
            "invalid semicolon separator in query",
            "expected at most one set of agent identifiers",
        ];
        for (metadata, reason) in metadata.into_iter().zip(reasons) {
            let refused = PlayedAgent::connect_with(pki, address, metadata).await;
            let Some(End::Status(code, message)) = refused.err() else {
                panic!("accepted, or lost: {reason}");
            };
            assert_eq!(code, "2");
            assert!(message.contains(reason), "{message}");
            log.tells(&["agent refused", "peer=127.0.0.1:", reason])
                .await;
        }
        let mut connection = Connection::start(agent_tls(pki, address).await).await;
        let end = connection.call(PROXY, &[]).await.end().await;
        assert!(end.has_code("12"), "{end:?}");
        log.tells(&[
            "call refused",
            "peer=127.0.0.1:",
            "unknown service ProxyService",
        ])
        .await;
        drop(connection);
        canary.pair.server.agents(1).await;
        canary.sings().await;
        canary.end().await;
    });
}

/// An agent that sends something unreadable loses its tunnel, and its frontends are told.
#[test]
fn unreadable_messages_of_an_agent() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default()).await;
        for (input, code, reason) in bad_messages() {
            let (mut agent, mut stream) = played(&canary).await;
            let peer = format!("peer={}", agent.address);
            let _ = agent.call.sender.send_raw(input);
            let end = agent.call.end().await;
            assert!(end.has_code(code), "{reason}: {end:?}");
            log.tells(&["tunnel to an agent lost", &peer, "agent_id=played", reason])
                .await;
            assert!(within("the end", stream.read_u8()).await.is_err());
            canary.pair.server.agents(1).await;
            canary.sings().await;
        }
        canary.end().await;
    });
}

async fn played(canary: &Canary) -> (PlayedAgent, TcpStream) {
    let pair = &canary.pair;
    let metadata = [
        ("agentid", "played"),
        ("agentidentifiers", PLAYED_IDENTIFIERS),
    ];
    let agent = PlayedAgent::connect_with(&pair.pki, pair.server.agent_address, &metadata).await;
    let mut agent = agent.unwrap();
    pair.server.agents(2).await;
    let dialling = connect_tcp(pair.server.tcp, PLAYED);
    let (stream, _) = tokio::join!(dialling, agent.accept_dial(1));
    (agent, stream.unwrap())
}

/// Packets that make no sense now, from either peer: of unknown connections and dials, twice, in the wrong
/// direction, of negative ids.
fn out_of_order() -> Vec<Packet> {
    let id = |id| ConnectId::new(id);
    let error = String::new;
    let mut packets = vec![
        Packet::Drain,
        Packet::CloseDial { dial: DialId(-1) },
        Packet::DialRequest {
            dial: DialId(0),
            protocol: "udp".to_owned(),
            address: String::new(),
        },
    ];
    for connect_id in [None, id(-1), id(i64::MIN), id(99), id(i64::MAX)] {
        packets.extend([
            Packet::Data {
                connect_id,
                data: noise(100).into(),
            },
            Packet::CloseRequest { connect_id },
            Packet::CloseResponse {
                connect_id,
                error: error(),
            },
            Packet::WindowUpdate {
                connect_id,
                bytes: u64::MAX,
            },
            Packet::DialResponse {
                dial: DialId(12345),
                connect_id,
                error: error(),
                address: None,
            },
        ]);
    }
    packets
}

#[test]
fn packets_of_an_agent_out_of_order() {
    run(async |_| {
        let mut canary = Canary::start(PairOptions::default()).await;
        let (mut agent, mut stream) = played(&canary).await;
        for _ in 0..3 {
            for packet in out_of_order() {
                agent.call.send(packet).await;
            }
            canary.sings_with(2).await;
        }
        // Its own stream is none the worse for it.
        let connection = ConnectId::new(1).unwrap();
        agent.call.send(data(connection, b"hello")).await;
        let mut got = [0; 5];
        within("data", stream.read_exact(&mut got)).await.unwrap();
        assert_eq!(&got, b"hello");
        // An id that is in use already: the dial fails, the stream goes on.
        let dialling = connect_tcp(canary.pair.server.tcp, PLAYED);
        let answering = async {
            let dial = loop {
                match agent.call.recv().await.unwrap() {
                    Packet::DialRequest { dial, .. } => break dial,
                    // What it is told of its nonsense.
                    Packet::CloseRequest { .. } => {}
                    other => panic!("not a dial: {other:?}"),
                }
            };
            agent
                .call
                .send(Packet::dial_succeeded(dial, connection))
                .await;
        };
        let (refused, ()) = tokio::join!(dialling, answering);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("HTTP/1.1 502 "), "{refused}");
        agent.call.send(data(connection, b"again")).await;
        within("data", stream.read_exact(&mut got)).await.unwrap();
        assert_eq!(&got, b"again");
        drop((agent, stream));
        canary.pair.server.agents(1).await;
        canary.sings().await;
        canary.end().await;
    });
}

/// With credit agreed on, more than was granted resets the one stream.
#[test]
fn an_agent_that_overruns_its_window_loses_that_stream() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default()).await;
        let pair = &canary.pair;
        let metadata = [
            ("agentid", "played"),
            ("agentidentifiers", PLAYED_IDENTIFIERS),
            ("dialback-extensions", "flow-control/1;window=65536"),
        ];
        let agent = PlayedAgent::connect_with(&pair.pki, pair.server.agent_address, &metadata);
        let mut agent = agent.await.unwrap();
        pair.server.agents(2).await;
        let dialling = connect_tcp(pair.server.tcp, PLAYED);
        let (stream, connection) = tokio::join!(dialling, agent.accept_dial(1));
        let mut stream = stream.unwrap();
        // The frontend reads nothing, and the window is 1 MiB.
        for _ in 0..1000 {
            let flood = data(connection, &[7; 60_000]);
            if agent.call.sender.try_send(flood).await.is_err() {
                break;
            }
        }
        log.tells(&["agent_id=played", "peer sent more than its credit"])
            .await;
        let mut rest = Vec::new();
        assert!(
            within("the end", stream.read_to_end(&mut rest))
                .await
                .is_err()
        );
        pair.server.agents(2).await;
        drop(agent);
        canary.pair.server.agents(1).await;
        canary.sings().await;
        canary.end().await;
    });
}

/// An agent towards a server that sends nonsense: it cuts what came from there, says why, and connects anew.
#[test]
fn to_an_agent() {
    run(async |log| {
        let pki = Pki::new();
        let server = PlayedServer::start(&pki).await;
        let address = server.address.to_string();
        let echo = Endpoint::echo().await;
        let agent = RunningAgent::start(&pki, server.address, AgentOptions::default());

        // Instead of TLS, of HTTP/2, of headers that make sense.
        let mut garbage = server.accept_tcp().await;
        garbage.write_all(&noise(3000)).await.unwrap();
        log.tells(&["cannot connect to the proxy server", &address, "TLS"])
            .await;
        let mut garbage = server.accept_tls().await;
        garbage.write_all(&noise(3000)).await.unwrap();
        log.tells(&["cannot connect", &address, "frame with invalid size"])
            .await;
        drop(garbage);
        let many = server.accept("one", "many").await;
        log.tells(&[
            "cannot connect to the proxy server",
            &address,
            "parsing \"many\"",
        ])
        .await;
        drop(many);

        // Messages that can't be read end the tunnel, with the reason; its endpoint connections with it.
        for (input, _, reason) in bad_messages() {
            let mut link = server.accept("one", "1").await;
            dial(&mut link, &echo).await;
            agent.streams(1).await;
            let _ = link.call.sender.send_raw(input);
            let end = link.call.end().await;
            assert!(matches!(end, End::Lost(_)), "{reason}: {end:?}");
            log.tells(&["connection to a server lost", "server_id=one", reason])
                .await;
            agent.streams(0).await;
        }

        // Packets that make no sense do not.
        let mut link = server.accept("one", "1").await;
        let connection = dial(&mut link, &echo).await;
        for _ in 0..3 {
            for packet in out_of_order() {
                link.call.send(packet).await;
            }
        }
        link.call.send(data(connection, b"still here")).await;
        loop {
            let packet = link.call.recv().await.unwrap();
            if packet == data(connection, b"still here") {
                break;
            }
            let answer = matches!(
                packet,
                Packet::CloseResponse { .. } | Packet::DialResponse { .. }
            );
            assert!(answer, "{packet:?}");
        }
        agent.streams(1).await;
        drop(link);
        agent.streams(0).await;
        agent.stop().await;
    });
}

/// Dials through a played link; the agent's own count of connections is what it answers with.
async fn dial(link: &mut PlayedLink, echo: &Endpoint) -> ConnectId {
    link.call
        .send(dial_request(&echo.address.to_string()))
        .await;
    match link.call.recv().await.unwrap() {
        Packet::DialResponse { connect_id, .. } => connect_id.unwrap(),
        other => panic!("not the answer: {other:?}"),
    }
}
