//! TLS handshakes of accepted connections: bounded, counted, and told of when they fail.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::server::Acceptor;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Server;
use crate::metrics::{Limit, ServerMetrics, TlsListener};
use crate::net::{PeerAddr, Socket};
use crate::runtime::Runtime;
use crate::timer::timeout_at;
use crate::tls::HandshakeFailure;

/// How long a handshake keeps its turn: what a peer takes beyond that is not what costs this process time.
const TURN: Duration = Duration::from_secs(1);

/// Whose turn it is among the agents that come at once.
///
/// Thousands of agents that lost their server at one moment would share the processor until all of them are late. So
/// only some go on at a time, the others in the order in which they came. A turn begins when the peer has spoken and ends
/// with the handshake or after [`TURN`]: who connects and is silent, or slow, holds nobody up for longer.
#[derive(Debug)]
pub(super) struct HandshakeTurns(Semaphore);

impl HandshakeTurns {
    pub(super) fn new(at_a_time: usize) -> Self {
        Self(Semaphore::new(at_a_time.clamp(1, Semaphore::MAX_PERMITS)))
    }

    async fn next(&self, metrics: &ServerMetrics) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.0.try_acquire() {
            return Some(turn);
        }
        metrics.limit_reached(Limit::AgentHandshakes);
        // Nobody closes it.
        self.0.acquire().await.ok()
    }
}

impl<R: Runtime> Server<R> {
    /// Takes a connection through its TLS handshake; `None` when that failed or was not done by `deadline`.
    pub(super) async fn accept_tls<S: Socket>(
        &self,
        listener: TlsListener,
        config: Arc<rustls::ServerConfig>,
        socket: S,
        peer: PeerAddr,
        deadline: Instant,
    ) -> Option<TlsStream<S>> {
        let who = match listener {
            TlsListener::Agent => "an agent",
            TlsListener::Frontend => "a frontend",
        };
        let handshake = self.handshake(listener, config, socket);
        let failure = match timeout_at(&self.runtime, deadline, handshake).await {
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
        if listener == TlsListener::Agent {
            self.audit_refused_agent(None, peer, "tls", &failure.label());
        }
        None
    }

    async fn handshake<S: Socket>(
        &self,
        listener: TlsListener,
        config: Arc<rustls::ServerConfig>,
        socket: S,
    ) -> io::Result<TlsStream<S>> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let turn = match listener {
            TlsListener::Agent => self.handshake_turns.next(&self.metrics).await,
            TlsListener::Frontend => None,
        };
        let mut handshake = pin!(hello.into_stream(config));
        if turn.is_some() {
            let until = self.runtime.now() + TURN;
            if let Ok(done) = timeout_at(&self.runtime, until, &mut handshake).await {
                return done;
            }
            drop(turn);
        }
        handshake.await
    }
}
