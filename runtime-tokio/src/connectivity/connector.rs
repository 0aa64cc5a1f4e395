//! A connector for hyper, and so for every client that is built on it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use super::{DialError, DialbackStream, Dialer};

/// Connects hyper's clients through a [`Dialer`]: a `tower::Service<Uri>`.
///
/// Of the URI it takes host and port (80 for `http`, 443 for `https`); the name is resolved where the agent is.
/// TLS towards the endpoint goes on top, with a connector that wraps this one, such as hyper-rustls's.
#[derive(Clone, Debug)]
pub struct Connector {
    dialer: Dialer,
}

impl Connector {
    /// A connector whose connections `dialer` opens.
    #[must_use]
    pub const fn new(dialer: Dialer) -> Self {
        Self { dialer }
    }
}

/// Why there is no connection for a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The URI has no host, or neither a port nor a scheme that has one.
    #[error("{0} names no host and port to connect to")]
    Uri(Uri),
    /// The dial failed.
    #[error(transparent)]
    Dial(#[from] Box<DialError>),
}

impl Service<Uri> for Connector {
    type Response = TokioIo<ConnectorStream>;
    type Error = ConnectorError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectorError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.dialer.clone();
        Box::pin(async move {
            let address = address(&uri).ok_or(ConnectorError::Uri(uri))?;
            let stream = dialer.dial(&address).await.map_err(Box::new)?;
            Ok(TokioIo::new(ConnectorStream { stream }))
        })
    }
}

fn address(uri: &Uri) -> Option<String> {
    let host = uri.host().filter(|host| !host.is_empty())?;
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("http")) => 80,
        (None, Some("https")) => 443,
        (None, _) => return None,
    };
    Some(format!("{host}:{port}"))
}

/// A [`DialbackStream`] as hyper's pool knows connections.
#[derive(Debug)]
pub struct ConnectorStream {
    stream: DialbackStream,
}

impl ConnectorStream {
    /// The stream itself.
    #[must_use]
    pub fn into_inner(self) -> DialbackStream {
        self.stream
    }
}

impl Connection for ConnectorStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for ConnectorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ConnectorStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_name_a_host_and_a_port() {
        for (uri, expected) in [
            ("http://a/x", Some("a:80")),
            ("https://a", Some("a:443")),
            ("http://[::1]:8080/", Some("[::1]:8080")),
            ("a:1", Some("a:1")),
            ("ftp://a/", None),
            ("/x", None),
        ] {
            let uri = Uri::from_static(uri);
            assert_eq!(address(&uri).as_deref(), expected, "{uri}");
        }
    }
}
