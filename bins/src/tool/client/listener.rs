//! Local listeners whose connections go to endpoints.

use std::fmt;
use std::future::Future;
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::str::FromStr;

use dialback_runtime::listen::{ExistingFile, SocketFile, accept_loop, bind_tcp, bind_unix};
use dialback_runtime::{Listener as _, Runtime as _};
use dialback_tokio::{TokioRuntime, TokioTcpListener, TokioUnixListener};
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::ClientError;

/// Connections served at a time by one listener; further ones wait in its backlog.
const MAX_CONNECTIONS: usize = 4096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Local {
    /// On the loopback address where none is given; brackets around IPv6 go.
    pub(crate) fn tcp(host: &str, port: &str) -> Option<Self> {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = match bare.unwrap_or(host) {
            "" => "127.0.0.1",
            host => host,
        };
        Some(Self::Tcp {
            host: host.to_owned(),
            port: port.parse().ok()?,
        })
    }

    /// Whether only this machine's own processes can connect.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, port } => (host.as_str(), *port)
                .to_socket_addrs()
                .is_ok_and(|mut addresses| addresses.all(|a| a.ip().is_loopback())),
        }
    }
}

impl FromStr for Local {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        Self::tcp(host, port).ok_or_else(|| format!("{text:?} is not [ADDR:]PORT or a path"))
    }
}

/// A bound listener.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TokioTcpListener),
    Unix {
        listener: TokioUnixListener,
        path: PathBuf,
        /// Removed when this is dropped.
        _file: Option<SocketFile>,
    },
}

impl Listener {
    pub(crate) fn bind(runtime: &TokioRuntime, local: &Local) -> Result<Self, ClientError> {
        match local {
            Local::Tcp { host, port } => {
                let bound = bind_tcp(host, *port).map_err(Box::new)?;
                let listener = runtime.tcp_listener(bound);
                Ok(Self::Tcp(listener.map_err(ClientError::Listener)?))
            }
            Local::Unix(path) => {
                let bound = bind_unix(path, ExistingFile::ReplaceSocket).map_err(Box::new)?;
                let listener = runtime.unix_listener(bound.listener);
                let listener = listener.map_err(ClientError::Listener)?;
                Ok(Self::Unix {
                    listener,
                    path: path.clone(),
                    _file: bound.file,
                })
            }
        }
    }

    /// Serves connections for ever; what goes wrong with one concerns that one.
    pub(crate) async fn serve<S, F>(&self, runtime: &TokioRuntime, serve: S)
    where
        S: Fn(Box<dyn Duplex>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        match self {
            Self::Tcp(listener) => {
                let serve = |stream, _| serve(Box::new(stream));
                accept_loop(runtime, listener, MAX_CONNECTIONS, || (), serve).await;
            }
            Self::Unix { listener, .. } => {
                let serve = |stream, _| serve(Box::new(stream));
                accept_loop(runtime, listener, MAX_CONNECTIONS, || (), serve).await;
            }
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(error) => write!(f, "an unknown address ({error})"),
            },
            Self::Unix { path, .. } => path.display().fmt(f),
        }
    }
}

/// A local connection of either kind.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}
