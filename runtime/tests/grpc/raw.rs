//! A peer that writes its HTTP/2 frames by hand (RFC 9113), for what no well-behaved library would do.

use bytes::{Buf, BufMut};
use dialback_runtime::grpc::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::harness::{Client, PIPE_BYTES, Server};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A frame as received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RawFrame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl RawFrame {
    /// Error code and debug text of a GOAWAY.
    pub(crate) fn goaway(&self) -> (u32, &[u8]) {
        assert_eq!(self.kind, GOAWAY);
        let (mut head, text) = self.payload.split_at(8);
        head.advance(4);
        (head.get_u32(), text)
    }
}

pub(crate) struct RawPeer {
    io: Box<dyn Io>,
}

/// A server under test, and its handmade client after the preface.
pub(crate) async fn client_of(config: &ServerConfig) -> (Server, RawPeer) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let peer = async {
        let mut peer = RawPeer::new(far);
        peer.send_preface().await;
        peer
    };
    tokio::join!(Server::start(near, config), peer)
}

/// A client under test, and its handmade server after the preface.
pub(crate) async fn server_of(config: &ClientConfig) -> (Client, RawPeer) {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let peer = async {
        let mut peer = RawPeer::new(far);
        let mut preface = [0; 24];
        peer.io.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, *PREFACE);
        peer.send(SETTINGS, 0, 0, &[]).await;
        peer
    };
    tokio::join!(Client::start(near, config), peer)
}

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Literal header fields without indexing, new names, no Huffman coding (RFC 7541, section 6.2.2).
pub(crate) fn field_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.put_u8(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 127, "needs more than one byte");
            block.put_u8(length);
            block.put_slice(text.as_bytes());
        }
    }
    block
}

impl RawPeer {
    pub(crate) fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { io: Box::new(io) }
    }

    pub(crate) async fn send_preface(&mut self) {
        self.io.write_all(PREFACE).await.unwrap();
        self.send(SETTINGS, 0, 0, &[]).await;
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = Vec::with_capacity(9 + payload.len());
        frame.put_uint(payload.len() as u64, 3);
        frame.put_u8(kind);
        frame.put_u8(flags);
        frame.put_u32(stream);
        frame.put_slice(payload);
        self.io.write_all(&frame).await.unwrap();
    }

    /// The headers of a call as grpc-go sends them.
    pub(crate) async fn send_request(&mut self, stream: u32, path: &str) {
        self.send_headers(stream, 0, &request(path)).await;
    }

    pub(crate) async fn send_response(&mut self, stream: u32) {
        let fields = [(":status", "200"), ("content-type", "application/grpc")];
        self.send_headers(stream, 0, &fields).await;
    }

    pub(crate) async fn send_headers(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        let block = field_block(fields);
        self.send(HEADERS, END_HEADERS | flags, stream, &block)
            .await;
    }

    /// The next frame, or `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<RawFrame> {
        let mut head = [0; 9];
        self.io.read_exact(&mut head).await.ok()?;
        let mut head = &head[..];
        let length = head.get_uint(3);
        let (kind, flags, stream) = (head.get_u8(), head.get_u8(), head.get_u32());
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.io.read_exact(&mut payload).await.ok()?;
        Some(RawFrame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The next frame of this kind; acknowledgements are passed over.
    pub(crate) async fn expect(&mut self, kind: u8) -> RawFrame {
        loop {
            let frame = self.next().await.unwrap();
            let is_ack = matches!(kind, SETTINGS | PING) && frame.flags & ACK != 0;
            if frame.kind == kind && !is_ack {
                return frame;
            }
        }
    }

    /// Sends a PING and waits for its acknowledgement: all that was sent before has been processed then.
    pub(crate) async fn ping_pong(&mut self, payload: [u8; 8]) {
        self.send(PING, 0, 0, &payload).await;
        loop {
            let frame = self.next().await.unwrap();
            if frame.kind == PING && frame.flags & ACK != 0 && frame.payload == payload {
                return;
            }
        }
    }
}

pub(crate) fn request(path: &str) -> [(&str, &str); 7] {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "proxy.test"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.83.0"),
        ("te", "trailers"),
    ]
}
