//! A frontend that speaks gRPC with a proxy server over its Unix socket, as kube-apiserver does.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dialback_core::client::{DialError, ReadOutput, Tunnel, TunnelConfig, TunnelEvent};
use dialback_core::wire::{Decoded, Frame, Status, decode};
use dialback_core::{ConnectId, DialId};
use dialback_runtime::grpc::{
    Caller, ClientConfig, ClientConnection, MessageStream, MethodName, Target,
};
use dialback_tokio::TokioRuntime;
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::timeout_at;

/// The most that is taken from a writer at once, in bytes.
const LARGEST_WRITE: usize = 32 * 1024;

/// How long the HTTP/2 handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A connection to a proxy server in grpc mode, on which any number of connections to endpoints are opened.
///
/// It stays up as long as this or any of those is alive.
#[derive(Clone, Debug)]
pub(crate) struct GrpcFrontend {
    caller: Caller,
}

impl GrpcFrontend {
    /// Connects to the server's Unix socket.
    pub(crate) async fn connect(socket: &Path) -> io::Result<Self> {
        Self::over(UnixStream::connect(socket).await?).await
    }

    /// Speaks with the server at the other end of `stream`.
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> io::Result<Self> {
        let runtime = TokioRuntime::current().map_err(io::Error::other)?;
        let target = Target::new(false, "localhost").map_err(io::Error::other)?;
        let deadline = Instant::now() + HANDSHAKE_LIMIT;
        let config = ClientConfig::frontend();
        let (caller, mut connection) =
            ClientConnection::handshake(&runtime, stream, target, &config, deadline)
                .await
                .map_err(io::Error::other)?;
        tokio::spawn(async move {
            // Why the connection ends is told to every stream on it.
            let _ = connection.closed().await;
        });
        Ok(Self { caller })
    }

    /// Opens a connection to `address` (`host:port`) through the server: a Proxy stream of its own.
    pub(crate) async fn dial(&self, address: &str) -> io::Result<GrpcStream> {
        let dial = DialId(fastrand::i64(0..));
        let now = Instant::now();
        let tunnel = Tunnel::new(TunnelConfig::default(), dial, "tcp", address, now)
            .map_err(io::Error::other)?;
        let mut caller = self.caller.clone();
        caller.ready().await.map_err(failed)?;
        let messages = caller
            .call(&MethodName::PROXY, HeaderMap::new(), None)
            .map_err(failed)?;
        let mut stream = GrpcStream { messages, tunnel };
        stream.messages.send_ready().await.map_err(failed)?;
        stream.transmit().map_err(failed)?;
        match stream.dialled().await? {
            Ok(_) => Ok(stream),
            Err(error) => Err(io::Error::other(format!("cannot dial {address}: {error}"))),
        }
    }
}

/// A connection to an endpoint; dropping it closes it.
///
/// The protocol knows no half-close, so shutting it down only flushes.
#[derive(Debug)]
pub(crate) struct GrpcStream {
    messages: MessageStream,
    tunnel: Tunnel,
}

impl GrpcStream {
    /// Waits for what comes of the dial.
    async fn dialled(&mut self) -> io::Result<Result<ConnectId, DialError>> {
        loop {
            if let Some(TunnelEvent::Dialled(outcome)) = self.tunnel.poll_event() {
                return Ok(outcome);
            }
            match self.tunnel.poll_timeout() {
                None => poll_fn(|cx| self.poll_receive(cx)).await?,
                Some(deadline) => {
                    let receive = poll_fn(|cx| self.poll_receive(cx));
                    match timeout_at(deadline.into(), receive).await {
                        Ok(received) => received?,
                        Err(_) => self.tunnel.handle_timeout(Instant::now()),
                    }
                }
            }
        }
    }

    /// Hands one message from the server to the tunnel, or the end of the stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.messages.poll_recv(cx)) {
            Some(Ok(message)) => match decode(message) {
                Ok(Decoded::Packet(packet)) => self.tunnel.handle_packet(packet),
                // Of no type that is known here, hence to be ignored.
                Ok(Decoded::UnknownType(_) | Decoded::MissingPayload(_)) => {}
                Err(error) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            },
            Some(Err(status)) => self.tunnel.handle_stream_end(Err(status.to_string())),
            None => self.tunnel.handle_stream_end(Ok(())),
        }
        // Replies to what the tunnel did not expect; a broken stream shows when it is read.
        let _ = self.transmit();
        Poll::Ready(Ok(()))
    }

    /// Sends all that the tunnel has to send.
    fn transmit(&mut self) -> Result<(), Status> {
        while let Some(packet) = self.tunnel.poll_transmit(Instant::now()) {
            self.messages.send(Frame::from(packet))?;
        }
        Ok(())
    }
}

impl AsyncRead for GrpcStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match stream.tunnel.poll_read(buffer.remaining()) {
                Some(ReadOutput::Data(data)) => {
                    buffer.put_slice(&data);
                    return Poll::Ready(Ok(()));
                }
                Some(ReadOutput::Eof) => return Poll::Ready(Ok(())),
                Some(ReadOutput::Failed(error)) => {
                    return Poll::Ready(Err(io::Error::other(error)));
                }
                None => ready!(stream.poll_receive(cx))?,
            }
        }
    }
}

impl AsyncWrite for GrpcStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        ready!(stream.messages.poll_send_ready(cx)).map_err(failed)?;
        let taken = bytes.len().min(LARGEST_WRITE);
        let mut data = Bytes::copy_from_slice(&bytes[..taken]);
        let taken = stream.tunnel.write(&mut data).map_err(io::Error::other)?;
        // The tunnel's queue stays empty, since the stream takes a message of any size once it is ready.
        stream.transmit().map_err(failed)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was sent is the connection's, which sends it as soon as it can.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

fn failed(status: Status) -> io::Error {
    io::Error::other(status.to_string())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use dialback_core::Packet;
    use dialback_runtime::grpc::{Call, ServerConfig, ServerConnection};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};

    use super::*;

    /// A frontend of a proxy server whose only endpoint, `echo:7`, sends back what it receives and closes
    /// on a message that is `bye`.
    async fn frontend() -> GrpcFrontend {
        let (ours, theirs) = duplex(1 << 20);
        tokio::spawn(async move {
            let runtime = TokioRuntime::current().unwrap();
            let config = ServerConfig::frontends(Duration::from_secs(3600));
            let deadline = Instant::now() + HANDSHAKE_LIMIT;
            let mut connection = ServerConnection::handshake(&runtime, theirs, &config, deadline)
                .await
                .unwrap();
            while let Some(Ok(call)) = connection.accept().await {
                let call = call.route(&MethodName::PROXY).unwrap();
                tokio::spawn(serve(call));
            }
        });
        GrpcFrontend::over(ours).await.unwrap()
    }

    async fn serve(call: Call) {
        let mut stream = call.accept_lazily(HeaderMap::new());
        let known = ConnectId::new(5);
        while let Some(Ok(message)) = stream.recv().await {
            let answer = match decode(message) {
                Ok(Decoded::Packet(Packet::DialRequest { dial, address, .. })) => {
                    let known = known.filter(|_| address == "echo:7");
                    Packet::DialResponse {
                        dial,
                        connect_id: known,
                        error: known.map_or("no such host", |_| "").to_owned(),
                    }
                }
                Ok(Decoded::Packet(Packet::Data { data, .. })) if data == "bye" => {
                    Packet::CloseResponse {
                        connect_id: known,
                        error: String::new(),
                    }
                }
                Ok(Decoded::Packet(Packet::Data { data, connect_id })) => {
                    assert_eq!(connect_id, known);
                    Packet::Data { connect_id, data }
                }
                other => panic!("unexpected: {other:?}"),
            };
            stream.send_ready().await.unwrap();
            stream.send(Frame::from(answer)).unwrap();
        }
    }

    #[tokio::test]
    async fn connections_on_one_transport_carry_their_own_bytes() {
        let frontend = frontend().await;
        let mut streams = Vec::new();
        for seed in 0..4_u8 {
            let stream = frontend.dial("echo:7").await.unwrap();
            streams.push(tokio::spawn(async move {
                let sent = (0..500_000_usize)
                    .map(|at| (at % 251) as u8 ^ seed)
                    .collect::<Vec<_>>();
                let (mut reader, mut writer) = split(stream);
                let mut received = vec![0; sent.len()];
                let (wrote, read) =
                    tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
                wrote.unwrap();
                read.unwrap();
                assert!(received == sent);
            }));
        }
        for stream in streams {
            stream.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_close_by_the_endpoint_is_the_end_of_the_stream() {
        let mut stream = frontend().await.dial("echo:7").await.unwrap();
        stream.write_all(b"bye").await.unwrap();
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
        assert!(stream.write_all(b"too late").await.is_err());
    }

    #[tokio::test]
    async fn a_refused_dial_tells_why() {
        let error = frontend().await.dial("other:7").await.unwrap_err();
        assert_eq!(error.to_string(), "cannot dial other:7: no such host");
    }
}
