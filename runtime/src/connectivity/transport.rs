//! Connections to a proxy server.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dialback_core::connectivity::{ProxyAddress, TcpProxy, TlsFiles};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::ProxyError;
use crate::dial::dial_endpoint;
use crate::net::{Socket as _, TcpOptions};
use crate::runtime::Runtime;
use crate::tls::{ClientTls, KeyPairFiles, TlsError, system_cas};

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    HttpConnect,
    Grpc,
}

/// A proxy server and all that is needed to connect to it.
#[derive(Clone, Debug)]
pub(super) struct ProxyServer {
    at: At,
    protocol: Protocol,
    /// For messages: `unix:/run/server.sock`, `https://10.0.0.1:8131`.
    pub(super) name: String,
}

#[derive(Clone, Debug)]
enum At {
    Unix(PathBuf),
    Tcp {
        address: String,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    },
}

impl ProxyServer {
    /// Reads the certificates, if there are any.
    pub(super) fn load(address: &ProxyAddress, protocol: Protocol) -> Result<Self, TlsError> {
        let (at, name) = match address {
            ProxyAddress::Unix(path) => {
                (At::Unix(path.clone()), format!("unix:{}", path.display()))
            }
            ProxyAddress::Tcp(tcp) => {
                let authority = authority(tcp);
                let scheme = if tcp.tls.is_some() { "https" } else { "http" };
                let name = format!("{scheme}://{authority}");
                let tls = match &tcp.tls {
                    Some(files) => Some(tls(files, &tcp.host, protocol)?),
                    None => None,
                };
                (
                    At::Tcp {
                        address: authority,
                        tls,
                    },
                    name,
                )
            }
        };
        Ok(Self { at, protocol, name })
    }

    /// What gRPC calls name the server, and whether that is over TLS.
    pub(super) fn authority(&self) -> (bool, &str) {
        match &self.at {
            At::Unix(_) => (false, "localhost"),
            At::Tcp { address, tls } => (tls.is_some(), address),
        }
    }

    /// Connects, TLS included. Dropping the future gives up; `limit` is for the TCP part.
    pub(super) async fn connect<R: Runtime>(
        &self,
        runtime: &R,
        limit: Duration,
    ) -> Result<Transport<R>, ProxyError> {
        let (address, tls) = match &self.at {
            At::Unix(path) => {
                let connected = runtime.connect_unix(path).await;
                return connected.map(Transport::Unix).map_err(ProxyError::Io);
            }
            At::Tcp { address, tls } => (address, tls),
        };
        let socket = dial_endpoint(runtime, "tcp", address, limit).await;
        let socket = socket.map_err(|failure| ProxyError::Dial(Box::new(failure)))?;
        if self.protocol == Protocol::Grpc
            && let Err(error) = socket.set_tcp_options(&TcpOptions::grpc())
        {
            tracing::debug!(%error, "socket options of a connection to a proxy server");
        }
        let Some((config, name)) = tls else {
            return Ok(Transport::Tcp(socket));
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name.clone(), socket).await;
        let stream = stream.map_err(ProxyError::Tls)?;
        if self.protocol == Protocol::Grpc && stream.get_ref().1.alpn_protocol().is_none() {
            return Err(ProxyError::Alpn);
        }
        Ok(Transport::Tls(Box::new(stream)))
    }
}

fn authority(tcp: &TcpProxy) -> String {
    if tcp.host.contains(':') {
        format!("[{}]:{}", tcp.host, tcp.port)
    } else {
        format!("{}:{}", tcp.host, tcp.port)
    }
}

fn tls(
    files: &TlsFiles,
    host: &str,
    protocol: Protocol,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
    let pair = files
        .client
        .as_ref()
        .map(|(certificate, key)| KeyPairFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        });
    let loaded = ClientTls {
        ca: files.ca.clone().unwrap_or_else(system_cas),
        pair,
        alpn: Vec::new(),
    }
    .load()?;
    let mut config = Arc::unwrap_or_clone(loaded);
    if protocol == Protocol::HttpConnect {
        // As kube-apiserver: none. Konnectivity drops a client that offers no HTTP/1.1.
        config.alpn_protocols.clear();
    }
    let name = files.server_name.as_deref().unwrap_or(host).to_owned();
    let name = ServerName::try_from(name)
        .map_err(|error| TlsError::Config(rustls::Error::General(error.to_string())))?;
    Ok((Arc::new(config), name))
}

/// A connection to a proxy server, or, over TCP, to an endpoint itself.
#[derive(Debug)]
pub(super) enum Transport<R: Runtime> {
    Tcp(R::TcpStream),
    Unix(R::UnixStream),
    Tls(Box<TlsStream<R::TcpStream>>),
}

macro_rules! on_each {
    ($transport:expr, $stream:ident => $poll:expr) => {
        match $transport.get_mut() {
            Self::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $poll
            }
            Self::Unix(stream) => {
                let $stream = Pin::new(stream);
                $poll
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(stream);
                $poll
            }
        }
    };
}

impl<R: Runtime> AsyncRead for Transport<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_each!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl<R: Runtime> AsyncWrite for Transport<R> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_each!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_each!(self, stream => stream.poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_each!(self, stream => stream.poll_shutdown(cx))
    }
}
