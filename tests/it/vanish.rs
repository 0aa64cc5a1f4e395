//! A frontend, an agent or an endpoint that vanishes at each step of a dial: the rest goes on, nothing is left.

use std::io::ErrorKind;
use std::net::SocketAddr;

use dialback_core::{ConnectId, DialId, Packet};
use dialback_tests::call::{CONNECT, Connection, PROXY};
use dialback_tests::canary::{Canary, PLAYED, PLAYED_IDENTIFIERS};
use dialback_tests::endpoint::{ClosedPort, Endpoint};
use dialback_tests::frontend::{GrpcFrontend, connect, connect_tcp, data, dial_request, request};
use dialback_tests::pair::{Pair, PairOptions};
use dialback_tests::peers::{PlayedAgent, agent_tls};
use dialback_tests::run::run;
use dialback_tests::wait::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// An agent that gets all dials to [`PLAYED`] and no others.
async fn played(pair: &Pair) -> PlayedAgent {
    let metadata = [
        ("agentid", "played"),
        ("agentidentifiers", PLAYED_IDENTIFIERS),
    ];
    let server = pair.server.agent_address;
    let agent = PlayedAgent::connect_with(&pair.pki, server, &metadata).await;
    pair.server.agents(2).await;
    agent.unwrap()
}

async fn gone(pair: &Pair, agent: PlayedAgent) {
    drop(agent);
    pair.server.agents(1).await;
}

/// The next packet that the agent gets gives up the dial.
async fn given_up(agent: &mut PlayedAgent, dial: DialId) {
    let packet = agent.call.recv().await.unwrap();
    assert_eq!(packet, Packet::CloseDial { dial });
}

#[test]
fn a_connect_frontend_at_each_step() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default()).await;
        let tcp = canary.pair.server.tcp;
        let address = canary.echo.address.to_string();

        // Before a request, and in the middle of one.
        drop(TcpStream::connect(tcp).await.unwrap());
        let mut half = TcpStream::connect(tcp).await.unwrap();
        let peer = format!("peer={}", half.local_addr().unwrap());
        half.write_all(b"CONNECT 10.0.0.1:1 HT").await.unwrap();
        drop(half);
        log.tells(&[&peer, "hung up in the middle of a request"])
            .await;
        canary.sings().await;

        // While the dial is pending: the agent is told to give it up.
        let mut agent = played(&canary.pair).await;
        let mut pending = TcpStream::connect(tcp).await.unwrap();
        pending.write_all(&request(PLAYED)).await.unwrap();
        let dial = agent.next_dial().await;
        drop(pending);
        given_up(&mut agent, dial).await;
        canary.sings().await;

        // Without reading the answer, as it comes.
        for _ in 0..20 {
            let mut hasty = TcpStream::connect(tcp).await.unwrap();
            hasty.write_all(&request(&address)).await.unwrap();
        }
        canary.sings().await;

        // In the middle of an upload, with a reset.
        let (sink, mut delivered) = Endpoint::sink().await;
        let mut upload = connect_tcp(tcp, &sink.address.to_string()).await.unwrap();
        upload.write_all(&[7; 500_000]).await.unwrap();
        upload.set_zero_linger().unwrap();
        drop(upload);
        let delivery = within("the endpoint's end", delivered.recv())
            .await
            .unwrap();
        assert!(delivery.bytes.len() <= 500_000);
        canary.sings().await;

        // In the middle of a download that fills everything on its way.
        let source = Endpoint::source(64 << 20).await;
        let mut download = connect_tcp(tcp, &source.address.to_string()).await.unwrap();
        download.read_u8().await.unwrap();
        drop(download);
        canary.sings().await;

        // With a close that the agent never answers: it is forgotten all the same once the agent goes.
        let (stream, connection) = tokio::join!(connect_tcp(tcp, PLAYED), agent.accept_dial(1));
        drop(stream.unwrap());
        let packet = agent.call.recv().await.unwrap();
        let connect_id = Some(connection);
        assert_eq!(packet, Packet::CloseRequest { connect_id });
        gone(&canary.pair, agent).await;
        canary.sings().await;
        canary.end().await;
    });
}

#[test]
fn a_grpc_frontend_at_each_step() {
    run(async |_| {
        let mut canary = Canary::start(PairOptions::default().grpc()).await;
        let socket = canary.pair.socket();
        let address = canary.echo.address.to_string();

        // Before HTTP/2, in the middle of its preface, without a call, with an empty one.
        drop(UnixStream::connect(&socket).await.unwrap());
        let mut half = UnixStream::connect(&socket).await.unwrap();
        half.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
        drop(half);
        drop(Connection::start(UnixStream::connect(&socket).await.unwrap()).await);
        drop(GrpcFrontend::start(&socket).await);
        canary.sings().await;

        // In the middle of a message.
        let mut frontend = GrpcFrontend::start(&socket).await;
        frontend
            .call
            .sender
            .send_raw(&b"\0\0\0\0\x20half"[..])
            .unwrap();
        drop(frontend);
        canary.sings().await;

        // While the dial is pending: the connection, the call, the dial, and the end of the call.
        let mut agent = played(&canary.pair).await;
        for step in 0..4 {
            let mut frontend = GrpcFrontend::start(&socket).await;
            frontend.send(dial_request(PLAYED)).await;
            let dial = agent.next_dial().await;
            match step {
                0 => drop(frontend),
                1 => frontend.call.sender.reset(),
                2 => frontend.send(Packet::CloseDial { dial: DialId(7) }).await,
                _ => frontend.call.sender.finish(),
            }
            given_up(&mut agent, dial).await;
            canary.sings().await;
        }

        // Established: the connection, the call, and right after its close.
        for step in 0..3 {
            let mut frontend = GrpcFrontend::start(&socket).await;
            let id = 10 + step;
            let (dialled, connection) = tokio::join!(frontend.dial(PLAYED), agent.accept_dial(id));
            dialled.unwrap();
            let connect_id = Some(connection);
            match step {
                0 => drop(frontend),
                1 => frontend.call.sender.reset(),
                _ => {
                    frontend.send(Packet::CloseRequest { connect_id }).await;
                    drop(frontend);
                }
            }
            let packet = agent.call.recv().await.unwrap();
            assert_eq!(packet, Packet::CloseRequest { connect_id });
            let error = String::new();
            agent
                .call
                .send(Packet::CloseResponse { connect_id, error })
                .await;
            canary.sings().await;
        }
        gone(&canary.pair, agent).await;

        // In the middle of a transfer both ways.
        for reset in [false, true] {
            let mut frontend = GrpcFrontend::start(&socket).await;
            let connection = frontend.dial(&address).await.unwrap();
            for _ in 0..16 {
                frontend.send(data(connection, &[7; 30_000])).await;
            }
            if reset {
                frontend.call.sender.reset();
            }
            drop(frontend);
            canary.sings().await;
        }
        canary.end().await;
    });
}

#[test]
fn an_agent_at_each_step() {
    run(async |log| {
        let mut canary = Canary::start(PairOptions::default()).await;
        let pki = &canary.pair.pki;
        let server = canary.pair.server.agent_address;
        let tcp = canary.pair.server.tcp;

        // Before TLS, in the middle of it, behind it, behind the HTTP/2 preface, with a call it waits for.
        drop(TcpStream::connect(server).await.unwrap());
        let mut hello = TcpStream::connect(server).await.unwrap();
        let peer = format!("peer={}", hello.local_addr().unwrap());
        hello.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        drop(hello);
        log.tells(&["TLS handshake with an agent failed", &peer])
            .await;
        drop(agent_tls(pki, server).await);
        drop(Connection::start(agent_tls(pki, server).await).await);
        let mut connection = Connection::start(agent_tls(pki, server).await).await;
        let call = connection.call(CONNECT, &[("agentid", "hasty")]).await;
        drop((connection, call));
        canary.pair.server.agents(1).await;
        canary.sings().await;

        // With the dial, its answer, in the middle of a message, with a close that it was asked for.
        for step in 0..4 {
            let mut agent = played(&canary.pair).await;
            let peer = format!("peer={}", agent.address);
            let dialling = tokio::spawn(connect_tcp(tcp, PLAYED));
            if step == 0 {
                agent.next_dial().await;
                gone(&canary.pair, agent).await;
                let refusal = dialling.await.unwrap().unwrap_err().to_string();
                assert!(refusal.starts_with("HTTP/1.1 502 "), "{refusal}");
            } else {
                let connection = agent.accept_dial(1).await;
                let stream = within("an answer", dialling).await.unwrap().unwrap();
                vanish_established(step, agent, connection, stream).await;
                canary.pair.server.agents(1).await;
            }
            log.tells(&["tunnel to an agent lost", &peer, "agent_id=played"])
                .await;
            canary.sings().await;
        }
        canary.end().await;
    });
}

async fn vanish_established(
    step: i32,
    mut agent: PlayedAgent,
    connection: ConnectId,
    mut stream: TcpStream,
) {
    match step {
        1 => drop(agent),
        2 => {
            // DATA for the stream, announced longer than what comes.
            agent.call.send(data(connection, b"whole")).await;
            let half = &b"\0\0\0\0\x20\x08\x04\x22"[..];
            agent.call.sender.send_raw(half).unwrap();
            let mut got = [0; 5];
            within("whole messages", stream.read_exact(&mut got))
                .await
                .unwrap();
            drop(agent);
        }
        _ => {
            stream.shutdown().await.unwrap();
            let packet = agent.call.recv().await.unwrap();
            assert!(matches!(packet, Packet::CloseRequest { .. }), "{packet:?}");
            drop(agent);
        }
    }
    // The frontend is not left hanging.
    let _ = within("the end", stream.read_u8()).await;
}

#[test]
fn an_endpoint_at_each_step() {
    for plain in [false, true] {
        run(async |_| {
            let mut canary = Canary::start(PairOptions::default().plain(plain)).await;
            let socket = canary.pair.socket();
            let tcp = canary.pair.server.tcp;

            // Not there at all.
            let closed = ClosedPort::new();
            connect(&socket, &closed.address.to_string())
                .await
                .unwrap_err();
            canary.sings().await;

            // As soon as it is there.
            let hasty = Endpoint::start(|socket| async move {
                let _ = socket.set_zero_linger();
            })
            .await;
            // Whether the dial still succeeds is up to the system; the end comes either way.
            if let Ok(mut stream) = connect(&socket, &hasty.address.to_string()).await {
                let _ = within("the end", stream.read_u8()).await;
            }
            canary.sings().await;

            // After a word, and with an upload under way. A reset is passed on as one.
            let resetting = Endpoint::resetting(b"hi").await;
            let mut stream = connect_tcp(tcp, &resetting.address.to_string())
                .await
                .unwrap();
            let mut got = [0; 2];
            within("a word", stream.read_exact(&mut got)).await.unwrap();
            ends_with_reset(&mut stream, resetting.address).await;
            canary.sings().await;

            // With a download under way that nobody reads.
            let source = Endpoint::source(64 << 20).await;
            let mut stream = connect(&socket, &source.address.to_string()).await.unwrap();
            stream.read_u8().await.unwrap();
            drop(source);
            let mut rest = Vec::new();
            let _ = within("the end", stream.read_to_end(&mut rest)).await;
            drop(stream);
            canary.sings().await;
            canary.end().await;
        });
    }
}

/// Writes on until the reset is there.
async fn ends_with_reset(stream: &mut TcpStream, endpoint: SocketAddr) {
    let (mut read, mut write) = stream.split();
    let writing = async {
        loop {
            if let Err(error) = write.write_all(&[7; 10_000]).await {
                return error.kind();
            }
        }
    };
    let reading = async { read.read_u8().await.unwrap_err().kind() };
    let ends = within("a reset", async { tokio::join!(writing, reading) }).await;
    // The system tells of it once, whoever asks first.
    let reset = ErrorKind::ConnectionReset;
    assert!(ends.0 == reset || ends.1 == reset, "{endpoint}: {ends:?}");
}

/// A frontend that has one call of many fail keeps the others.
#[test]
fn a_call_that_is_reset_leaves_its_connection_alone() {
    run(async |_| {
        let canary = Canary::start(PairOptions::default().grpc()).await;
        let address = canary.echo.address.to_string();
        let mut frontend = GrpcFrontend::start(&canary.pair.socket()).await;
        let connection = frontend.dial(&address).await.unwrap();
        for _ in 0..50 {
            let mut call = frontend.connection.call(PROXY, &[]).await;
            call.send(dial_request(&address)).await;
            call.sender.reset();
        }
        frontend.exchange(connection, b"still here").await;
        frontend.close(connection).await;
        canary.end().await;
    });
}
