//! What `dialback bench` compares with: a relay in two processes that copies bytes and does nothing else.
//!
//! frontend ──Unix socket──▶ near half ══ mutual TLS 1.3 ══▶ far half ──TCP──▶ endpoint
//!
//! Every connection has a TLS connection of its own, so there is no multiplexing, no protocol and nothing
//! to be fair about: what remains is the cost that any tunnel with these hops has.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::sleep;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::tool::tls::{self, Identity, TlsError};

/// The buffer of each direction of a connection, in bytes: beyond this nothing is gained.
const BUFFER: usize = 64 * 1024;

/// The pause after a connection could not be accepted, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Which half of the relay a process is.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    half: Half,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Half {
    /// From a Unix socket to the far half
    Near {
        /// The socket to listen on
        #[arg(long)]
        socket: PathBuf,
        /// Where the far half listens
        #[arg(long)]
        far: SocketAddr,
        #[command(flatten)]
        files: IdentityFiles,
    },
    /// From the near half to the endpoint
    Far {
        /// The address to listen on
        #[arg(long)]
        listen: SocketAddr,
        /// Where the endpoint listens
        #[arg(long)]
        endpoint: SocketAddr,
        #[command(flatten)]
        files: IdentityFiles,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct IdentityFiles {
    /// The CA of the other half
    #[arg(long)]
    ca: PathBuf,
    /// This half's certificate
    #[arg(long)]
    cert: PathBuf,
    /// Its key
    #[arg(long)]
    key: PathBuf,
}

/// Why a half of the relay ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The runtime could not be started.
    #[error("cannot start the relay: {0}")]
    Start(#[source] io::Error),
    /// The relay could not listen.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// The address or path.
        at: String,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// Relays until the process is ended.
///
/// # Errors
///
/// If the certificates cannot be loaded or the address is not to be had.
pub fn run(options: &Options) -> Result<(), RelayError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(RelayError::Start)?;
    match &options.half {
        Half::Near { socket, far, files } => {
            runtime.block_on(near(socket.clone(), *far, &files.identity()))
        }
        Half::Far {
            listen,
            endpoint,
            files,
        } => runtime.block_on(self::far(*listen, *endpoint, &files.identity())),
    }
}

impl IdentityFiles {
    fn identity(&self) -> Identity {
        Identity {
            ca: self.ca.clone(),
            certificate: self.cert.clone(),
            key: self.key.clone(),
        }
    }
}

async fn near(socket: PathBuf, far: SocketAddr, identity: &Identity) -> Result<(), RelayError> {
    let connector = TlsConnector::from(Arc::new(tls::client(identity)?));
    let listener = UnixListener::bind(&socket).map_err(|source| RelayError::Listen {
        at: socket.display().to_string(),
        source,
    })?;
    loop {
        match listener.accept().await {
            Ok((frontend, _)) => {
                let connector = connector.clone();
                relay(frontend, async move {
                    let stream = TcpStream::connect(far).await?;
                    stream.set_nodelay(true)?;
                    let name = ServerName::IpAddress(far.ip().into());
                    connector.connect(name, stream).await
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn far(
    listen: SocketAddr,
    endpoint: SocketAddr,
    identity: &Identity,
) -> Result<(), RelayError> {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(identity)?));
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|source| RelayError::Listen {
            at: listen.to_string(),
            source,
        })?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    stream.set_nodelay(true)?;
                    let near = acceptor.accept(stream).await?;
                    relay(near, async move {
                        let endpoint = TcpStream::connect(endpoint).await?;
                        endpoint.set_nodelay(true)?;
                        Ok(endpoint)
                    });
                    io::Result::Ok(())
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Copies both ways between `from` and what `connect` yields, until both directions have ended; the end of
/// one direction is passed on and leaves the other open.
///
/// Who is cut off by an error learns it from the connection that closes.
fn relay<F, T>(mut from: F, connect: impl Future<Output = io::Result<T>> + Send + 'static)
where
    F: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let mut to = connect.await?;
        copy_bidirectional_with_sizes(&mut from, &mut to, BUFFER, BUFFER).await
    });
}
