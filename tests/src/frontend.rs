//! Frontends that dial through a server.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use dialback_core::{ConnectId, DialId, Packet};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::call::{Call, Connection, End, PROXY};
use crate::wait::within;

/// The answer to a dial that succeeded.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// Asks for a tunnel over HTTP-CONNECT; the socket carries the tunnel's bytes afterwards.
///
/// # Errors
/// The whole answer, when it is not the reference's 200.
pub async fn connect(socket: &Path, authority: &str) -> io::Result<UnixStream> {
    dial(UnixStream::connect(socket).await?, authority).await
}

/// As [`connect`], over TCP.
///
/// # Errors
/// As there.
pub async fn connect_tcp(server: SocketAddr, authority: &str) -> io::Result<TcpStream> {
    dial(TcpStream::connect(server).await?, authority).await
}

/// As [`connect`], over any connection.
///
/// # Errors
/// As there.
pub async fn dial<S>(mut stream: S, authority: &str) -> io::Result<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&request(authority)).await?;
    let mut head = Vec::new();
    within("an answer to CONNECT", async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if head != ESTABLISHED {
            stream.read_to_end(&mut head).await?;
        }
        io::Result::Ok(())
    })
    .await?;
    if head == ESTABLISHED {
        return Ok(stream);
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&head).into_owned(),
    ))
}

/// What kube-apiserver sends.
#[must_use]
pub fn request(authority: &str) -> Vec<u8> {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// Sends bytes and returns all that comes back until the server closes.
pub async fn answer_to(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    within("the server closes", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8(answer).unwrap()
}

/// Sends and expects the same back.
pub async fn exchange<S>(stream: &mut S, bytes: &[u8])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut read, mut write) = tokio::io::split(stream);
    let mut got = vec![0; bytes.len()];
    within("an echo", async {
        let (wrote, was_read) = tokio::join!(write.write_all(bytes), read.read_exact(&mut got));
        wrote.unwrap();
        was_read.unwrap();
    })
    .await;
    assert!(got == bytes, "an echo of {} bytes is another", bytes.len());
}

/// A gRPC frontend with one Proxy stream, as kube-apiserver has it. Dropped, its connection is cut.
pub struct GrpcFrontend {
    pub connection: Connection,
    pub call: Call,
}

impl GrpcFrontend {
    pub async fn start(socket: &Path) -> Self {
        Self::start_with(socket, &[]).await
    }

    /// With this metadata.
    pub async fn start_with(socket: &Path, metadata: &[(&'static str, &str)]) -> Self {
        let mut connection = Connection::start(UnixStream::connect(socket).await.unwrap()).await;
        let call = connection.call(PROXY, metadata).await;
        Self { connection, call }
    }

    /// Dials; 7 is what its dials are called.
    ///
    /// # Errors
    /// The server's words.
    pub async fn dial(&mut self, address: &str) -> Result<ConnectId, String> {
        self.send(dial_request(address)).await;
        match self.recv().await.unwrap() {
            Packet::DialResponse {
                dial: DialId(7),
                connect_id,
                error,
                address: None,
            } if error.is_empty() => Ok(connect_id.unwrap()),
            Packet::DialResponse {
                dial: DialId(7),
                connect_id: None,
                error,
                address: None,
            } => Err(error),
            other => panic!("not the answer: {other:?}"),
        }
    }

    pub async fn send(&mut self, packet: Packet) {
        self.call.send(packet).await;
    }

    pub async fn recv(&mut self) -> Result<Packet, End> {
        self.call.recv().await
    }

    /// Sends and expects the same back.
    pub async fn exchange(&mut self, connection: ConnectId, bytes: &[u8]) {
        let Call { sender, receiver } = &mut self.call;
        let sending = async {
            for chunk in bytes.chunks(32 * 1024) {
                sender.send(data(connection, chunk)).await;
            }
        };
        let receiving = async {
            let mut got = Vec::new();
            while got.len() < bytes.len() {
                match receiver.recv().await.unwrap() {
                    Packet::Data { connect_id, data } => {
                        assert_eq!(connect_id, Some(connection));
                        got.extend_from_slice(&data);
                    }
                    other => panic!("not an echo: {other:?}"),
                }
            }
            got
        };
        let ((), got) = tokio::join!(sending, receiving);
        assert!(got == bytes, "an echo of {} bytes is another", bytes.len());
    }

    /// Reads to the CLOSE_RSP: the data before it and its error.
    pub async fn rest(&mut self, connection: ConnectId) -> (Vec<u8>, String) {
        let mut got = Vec::new();
        loop {
            match self.recv().await.unwrap() {
                Packet::Data { connect_id, data } => {
                    assert_eq!(connect_id, Some(connection));
                    got.extend_from_slice(&data);
                }
                Packet::CloseResponse { connect_id, error } => {
                    assert_eq!(connect_id, Some(connection));
                    return (got, error);
                }
                other => panic!("neither data nor the end: {other:?}"),
            }
        }
    }

    /// Closes and waits for the answer.
    pub async fn close(mut self, connection: ConnectId) {
        self.send(Packet::CloseRequest {
            connect_id: Some(connection),
        })
        .await;
        let (_, error) = self.rest(connection).await;
        assert_eq!(error, "");
    }
}

/// A dial that is called 7.
#[must_use]
pub fn dial_request(address: &str) -> Packet {
    Packet::DialRequest {
        dial: DialId(7),
        protocol: "tcp".to_owned(),
        address: address.to_owned(),
    }
}

/// A DATA packet.
#[must_use]
pub fn data(connection: ConnectId, bytes: &[u8]) -> Packet {
    Packet::Data {
        connect_id: Some(connection),
        data: Bytes::copy_from_slice(bytes),
    }
}
