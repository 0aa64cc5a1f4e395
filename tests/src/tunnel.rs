//! A frontend's stream to an endpoint, whatever the frontend speaks.

use std::io;
use std::path::Path;

use dialback_core::{ConnectId, Packet};
use dialback_runtime::server::FrontendMode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::frontend::{GrpcFrontend, connect, data, exchange};
use crate::wait::within;

/// An open stream. Dropped, its connection is cut.
pub enum Tunnel {
    Connect(UnixStream),
    Grpc(Box<GrpcFrontend>, ConnectId),
}

impl Tunnel {
    /// Dials through the server whose frontends' socket this is.
    ///
    /// # Errors
    /// The server's words.
    pub async fn dial(mode: FrontendMode, socket: &Path, address: &str) -> Result<Self, String> {
        match mode {
            FrontendMode::HttpConnect => {
                let stream = connect(socket, address).await;
                stream.map(Self::Connect).map_err(|error| error.to_string())
            }
            FrontendMode::Grpc => {
                let mut frontend = GrpcFrontend::start(socket).await;
                let connection = frontend.dial(address).await?;
                Ok(Self::Grpc(Box::new(frontend), connection))
            }
        }
    }

    /// Sends and expects the same back.
    pub async fn exchange(&mut self, bytes: &[u8]) {
        match self {
            Self::Connect(stream) => exchange(stream, bytes).await,
            Self::Grpc(frontend, connection) => frontend.exchange(*connection, bytes).await,
        }
    }

    /// Sends, as fast as it is taken.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Connect(stream) => stream.write_all(bytes).await,
            Self::Grpc(frontend, connection) => {
                for chunk in bytes.chunks(32 * 1024) {
                    let sent = frontend.call.sender.try_send(data(*connection, chunk));
                    sent.await.map_err(io::Error::other)?;
                }
                Ok(())
            }
        }
    }

    /// The first bytes that come, at least one.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn some(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Connect(stream) => {
                let mut first = vec![0];
                within("bytes", stream.read_exact(&mut first)).await?;
                Ok(first)
            }
            Self::Grpc(frontend, _) => match frontend.recv().await {
                Ok(Packet::Data { data, .. }) => Ok(data.to_vec()),
                end => Err(io::Error::other(format!("{end:?}"))),
            },
        }
    }

    /// Reads to the end: all that came, or why the end was none in order.
    ///
    /// # Errors
    /// How the stream was cut.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut got = Vec::new();
        match self {
            Self::Connect(stream) => {
                within("the end", stream.read_to_end(&mut got)).await?;
                Ok(got)
            }
            Self::Grpc(frontend, connection) => {
                let (got, error) = frontend.rest(*connection).await;
                if error.is_empty() {
                    return Ok(got);
                }
                Err(io::Error::other(error))
            }
        }
    }

    /// Ends it in order.
    pub async fn close(self) {
        match self {
            Self::Connect(stream) => drop(stream),
            Self::Grpc(frontend, connection) => frontend.close(connection).await,
        }
    }
}
