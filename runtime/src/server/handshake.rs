//! TLS handshakes of accepted connections: bounded, counted, and told of when they fail.

use std::time::Instant;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Server;
use crate::metrics::TlsListener;
use crate::net::{PeerAddr, Socket};
use crate::runtime::Runtime;
use crate::timer::timeout_at;
use crate::tls::HandshakeFailure;

impl<R: Runtime> Server<R> {
    /// Takes a connection through its TLS handshake; `None` when that failed or was not done by `deadline`.
    pub(super) async fn accept_tls<S: Socket>(
        &self,
        listener: TlsListener,
        acceptor: &TlsAcceptor,
        socket: S,
        peer: PeerAddr,
        deadline: Instant,
    ) -> Option<TlsStream<S>> {
        let who = match listener {
            TlsListener::Agent => "an agent",
            TlsListener::Frontend => "a frontend",
        };
        let failure = match timeout_at(&self.runtime, deadline, acceptor.accept(socket)).await {
            Ok(Ok(tls)) => return Some(tls),
            Ok(Err(error)) => {
                tracing::warn!(%peer, %error, "TLS handshake with {who} failed");
                HandshakeFailure::of(&error)
            }
            Err(_) => {
                tracing::warn!(%peer, "TLS handshake with {who} took too long");
                HandshakeFailure::TimedOut
            }
        };
        self.metrics.tls_handshake_failed(listener, failure);
        None
    }
}
