//! How the load generator gets a connection to the endpoint: through a proxy server, or the relay.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::endpoint::Role;
use crate::tool::grpc::GrpcFrontend;
use crate::tool::http;

/// How long a dial may take.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

/// Both directions of a connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A connection to the endpoint; dropping it closes it.
pub(super) type Stream = Box<dyn Duplex>;

/// Where connections to the endpoint are to be had.
#[derive(Debug)]
pub(super) enum Frontend {
    /// From a proxy server in http-connect mode: a Unix socket connection for each.
    HttpConnect {
        /// The server's socket.
        socket: PathBuf,
        /// The endpoint.
        target: SocketAddr,
    },
    /// From a proxy server in grpc mode: a Proxy stream for each, spread over a few connections.
    Grpc {
        /// Connections to the server's Unix socket; never empty.
        connections: Vec<GrpcFrontend>,
        /// Counts the dials.
        dials: AtomicUsize,
        /// The endpoint.
        target: SocketAddr,
    },
    /// From the relay: a Unix socket connection for each.
    Relay {
        /// The near half's socket.
        socket: PathBuf,
    },
}

impl Frontend {
    /// Opens a connection and tells the endpoint what to do on it.
    pub(super) async fn dial(&self, role: Role) -> io::Result<Stream> {
        self.open_within_limit(None, role).await
    }

    /// The same at another of the endpoint's addresses. The relay has only one.
    pub(super) async fn dial_at(&self, address: SocketAddr, role: Role) -> io::Result<Stream> {
        self.open_within_limit(Some(address), role).await
    }

    async fn open_within_limit(
        &self,
        address: Option<SocketAddr>,
        role: Role,
    ) -> io::Result<Stream> {
        let dial = async {
            let mut stream = self.open(address).await?;
            stream.write_all(&[role.byte()]).await?;
            stream.flush().await?;
            Ok(stream)
        };
        timeout(DIAL_LIMIT, dial).await.unwrap_or_else(|_| {
            let message = format!("no connection to the endpoint after {DIAL_LIMIT:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }

    async fn open(&self, address: Option<SocketAddr>) -> io::Result<Stream> {
        match self {
            Self::HttpConnect { socket, target } => {
                let target = address.unwrap_or(*target);
                let mut stream = UnixStream::connect(socket).await?;
                http::connect(&mut stream, &target.to_string()).await?;
                Ok(Box::new(stream))
            }
            Self::Grpc {
                connections,
                dials,
                target,
            } => {
                let target = address.unwrap_or(*target);
                let turn = dials.fetch_add(1, Ordering::Relaxed);
                let connection = &connections[turn % connections.len()];
                Ok(Box::new(connection.dial(&target.to_string()).await?))
            }
            Self::Relay { socket } => Ok(Box::new(UnixStream::connect(socket).await?)),
        }
    }
}
