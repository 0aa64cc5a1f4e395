//! A server and a client joined by an in-memory pipe, each driven by a task.

use std::time::Duration;

use bytes::Bytes;
use dialback_core::wire::{Decoded, decode};
use dialback_core::{ConnectId, Packet};
use dialback_runtime::Runtime;
use dialback_runtime::grpc::{
    Call, Caller, ClientConfig, ClientConnection, ConnectionError, Frame, MessageStream,
    MethodName, ServerConfig, ServerConnection, Status, Target,
};
use dialback_tokio::TokioRuntime;
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) type Ended = JoinHandle<Result<(), ConnectionError>>;

/// What the pipe between both ends holds, as a socket's buffers would.
pub(crate) const PIPE_BYTES: usize = 64 * 1024;

pub(crate) fn runtime() -> TokioRuntime {
    TokioRuntime::current().unwrap()
}

pub(crate) fn agents() -> ServerConfig {
    ServerConfig::agents(Duration::from_secs(3600))
}

pub(crate) fn agent() -> ClientConfig {
    ClientConfig::agent(Duration::from_secs(3600))
}

/// A running server: its calls, and how its connection ends.
pub(crate) struct Server {
    pub(crate) calls: mpsc::UnboundedReceiver<Call>,
    pub(crate) ended: Ended,
}

impl Server {
    /// Shakes hands over `io` and serves in a task of its own.
    pub(crate) async fn start<T>(io: T, config: &ServerConfig) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = runtime();
        let deadline = runtime.now() + Duration::from_secs(60);
        let connection = ServerConnection::handshake(&runtime, io, config, deadline)
            .await
            .unwrap();
        Self::serve(connection)
    }

    /// Serves in a task of its own.
    pub(crate) fn serve<T>(mut connection: ServerConnection<TokioRuntime, T>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, calls) = mpsc::unbounded_channel();
        let ended = tokio::spawn(async move {
            while let Some(call) = connection.accept().await.transpose()? {
                // A test that has no use for further calls lets them be reset.
                let _ = sender.send(call);
            }
            Ok(())
        });
        Self { calls, ended }
    }

    pub(crate) async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }
}

/// A running client: makes calls, and knows how its connection ends.
pub(crate) struct Client {
    pub(crate) caller: Caller,
    pub(crate) ended: Ended,
}

impl Client {
    pub(crate) async fn start<T>(io: T, config: &ClientConfig) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = runtime();
        let deadline = runtime.now() + Duration::from_secs(60);
        let target = Target::new(false, "proxy.test:8091").unwrap();
        let (caller, mut connection) =
            ClientConnection::handshake(&runtime, io, target, config, deadline)
                .await
                .unwrap();
        let ended = tokio::spawn(async move { connection.closed().await });
        Self { caller, ended }
    }

    pub(crate) fn connect(&mut self) -> MessageStream {
        self.connect_with(HeaderMap::new())
    }

    pub(crate) fn connect_with(&mut self, metadata: HeaderMap) -> MessageStream {
        self.caller
            .call(&MethodName::CONNECT, metadata, None)
            .unwrap()
    }
}

pub(crate) async fn pair(server: &ServerConfig, client: &ClientConfig) -> (Server, Client) {
    let (near, far): (DuplexStream, DuplexStream) = tokio::io::duplex(PIPE_BYTES);
    tokio::join!(Server::start(near, server), Client::start(far, client))
}

/// The message that carries `data`.
pub(crate) fn data(data: impl Into<Bytes>) -> Frame {
    Frame::from(Packet::Data {
        connect_id: ConnectId::new(1),
        data: data.into(),
    })
}

/// `length` bytes, different at every place that framing could confuse.
pub(crate) fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// The data of a message.
pub(crate) fn data_of(message: Bytes) -> Bytes {
    let decoded = decode(message).unwrap();
    let Decoded::Packet(Packet::Data { data, .. }) = decoded else {
        panic!("expected DATA, got {decoded:?}");
    };
    data
}

/// Sends as a well-behaved sender does.
pub(crate) async fn send(stream: &mut MessageStream, message: Frame) {
    stream.send_ready().await.unwrap();
    stream.send(message).unwrap();
}

pub(crate) async fn receive(stream: &mut MessageStream) -> Bytes {
    data_of(stream.recv().await.unwrap().unwrap())
}

/// Sends every message back until the client is done.
pub(crate) async fn echo(mut stream: MessageStream) {
    while let Some(message) = stream.recv().await {
        let Ok(message) = message else { return };
        send(&mut stream, data(data_of(message))).await;
    }
    stream.finish(&Status::ok());
}
