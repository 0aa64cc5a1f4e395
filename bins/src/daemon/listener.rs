//! Listening sockets, with the reference's words when there is none.

use dialback_runtime::Runtime;
use dialback_runtime::http::{HttpLimits, Routes, serve_http};
use dialback_runtime::listen::{ListenError, bind_tcp};
use dialback_runtime::tls::TlsError;
use thiserror::Error;

use crate::flags::ListenAddress;

/// Binds a TCP socket and listens.
pub(crate) fn bind<R: Runtime>(
    runtime: &R,
    address: &ListenAddress,
) -> Result<R::TcpListener, ListenerError> {
    let failed = |error| ListenerError::Tcp {
        address: address.to_string(),
        error,
    };
    let listener = bind_tcp(&address.host, address.port).map_err(failed)?;
    Ok(runtime.tcp_listener(listener)?)
}

/// Answers HTTP requests until the task is dropped.
pub(crate) async fn answer<R: Runtime>(runtime: R, listener: R::TcpListener, routes: impl Routes) {
    serve_http(&runtime, &listener, &HttpLimits::default(), routes).await;
}

/// Why a listener could not be set up, in the reference's words.
#[derive(Debug, Error)]
pub enum ListenerError {
    /// A Unix socket.
    #[error("failed to get uds listener: failed to listen(unix) name {path}: {error}")]
    Unix {
        /// Where it was to be.
        path: String,
        /// Why it could not.
        error: ListenError,
    },
    /// A TCP socket.
    #[error("failed to listen on {address}: {error}")]
    Tcp {
        /// Where it was to be.
        address: String,
        /// Why it could not.
        error: ListenError,
    },
    /// Certificates, keys or CAs.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The runtime did not take the socket.
    #[error("socket could not be registered: {0}")]
    Register(#[from] std::io::Error),
}
