//! Agents: their connections, and the tunnels on them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use dialback_core::Negotiated;
use dialback_core::server::Link;
use dialback_core::wire::{
    AGENT_ID, AGENT_IDENTIFIERS, AgentMetadata, EXTENSIONS, Extensions, SERVER_COUNT, SERVER_ID,
    Status,
};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::Server;
use super::observer::LinkObserver;
use super::stop::Stage;
use crate::grpc::{self, Call, MethodName, ServerConnection};
use crate::listen::accept_loop;
use crate::metadata::{header_values, insert};
use crate::metrics::TlsListener;
use crate::net::{Listener, PeerAddr, Socket, TcpOptions};
use crate::runtime::Runtime;
use crate::tls::HandshakeFailure;
use crate::tunnel::{Tunnel, TunnelDriver, TunnelEnd};

impl<R: Runtime> Server<R> {
    /// What this server has beyond plain Konnectivity.
    fn extensions(&self) -> Extensions {
        if self.config.disable_extensions {
            return Extensions::NONE;
        }
        Extensions {
            flow_control: Some(self.config.link.mux.receive_window_bytes),
        }
    }

    /// Accepts agents on a TCP listener until the server stops.
    pub async fn serve_agents<L: Listener>(
        self: &Arc<Self>,
        listener: L,
        tls: Arc<rustls::ServerConfig>,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let mut stop = self.stop_signal();
        let accepting = accept_loop(
            &self.runtime,
            &listener,
            self.config.max_agents,
            |socket, peer| {
                let (server, acceptor) = (Arc::clone(self), acceptor.clone());
                async move { server.serve_agent_socket(socket, peer, acceptor).await }
            },
        );
        tokio::select! {
            // New agents are welcome until the end: a draining server still serves.
            () = stop.reached(Stage::Cut) => {}
            () = accepting => {}
        }
    }

    async fn serve_agent_socket<S: Socket>(
        self: Arc<Self>,
        socket: S,
        peer: PeerAddr,
        acceptor: TlsAcceptor,
    ) {
        if let Err(error) = socket.set_tcp_options(&TcpOptions::grpc()) {
            tracing::debug!(%peer, %error, "socket options of an agent's connection");
        }
        let deadline = self.runtime.now() + self.config.handshake_timeout;
        let accepted = self.accept_tls(TlsListener::Agent, &acceptor, socket, peer, deadline);
        let Some(tls) = accepted.await else { return };
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            let failure = HandshakeFailure::Alpn;
            self.metrics
                .tls_handshake_failed(TlsListener::Agent, failure);
            return tracing::warn!(%peer, "agent did not negotiate HTTP/2 (ALPN h2)");
        }
        let config = grpc::ServerConfig::agents(self.config.keepalive_time);
        match ServerConnection::handshake(&self.runtime, tls, &config, deadline).await {
            Ok(connection) => {
                let mut stop = self.stop_signal();
                let mut connection = AgentConnection {
                    server: Arc::clone(&self),
                    peer,
                    connection,
                    links: Vec::new(),
                };
                tokio::select! {
                    () = poll_fn(|cx| connection.poll(cx)) => {}
                    () = stop.reached(Stage::Cut) => {}
                }
            }
            Err(error) => tracing::warn!(%peer, %error, "HTTP/2 connection of an agent failed"),
        }
    }
}

/// One agent's connection and the Connect streams on it, one as a rule: driven by one task, so that a packet
/// passes from the socket to its stream without another.
struct AgentConnection<R: Runtime, T> {
    server: Arc<Server<R>>,
    peer: PeerAddr,
    connection: ServerConnection<R, T>,
    links: Vec<AgentLink<R>>,
}

struct AgentLink<R: Runtime> {
    server: Arc<Server<R>>,
    peer: PeerAddr,
    agent_id: String,
    driver: TunnelDriver<R, Link>,
    retired: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<R: Runtime, T: AsyncRead + AsyncWrite + Unpin> AgentConnection<R, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The connection reads first, so that the links find what came, and writes last.
        let mut ended = self.poll_connection(cx);
        self.links.retain_mut(|link| link.poll(cx).is_pending());
        ended = ended || self.poll_connection(cx);
        if ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// `true` when the connection has ended.
    fn poll_connection(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Pending => return false,
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Err(error))) => {
                    tracing::info!(peer = %self.peer, %error, "connection of an agent ended");
                    return true;
                }
                Poll::Ready(Some(Ok(call))) => {
                    if let Some(mut link) = self.accept(call)
                        && link.poll(cx).is_pending()
                    {
                        self.links.push(link);
                    }
                }
            }
        }
    }

    fn accept(&self, call: Call) -> Option<AgentLink<R>> {
        let server = &self.server;
        let refused = |status| tracing::warn!(peer = %self.peer, %status, "call refused");
        let call = call.route(&MethodName::CONNECT).map_err(refused).ok()?;
        let metadata = call.metadata();
        let agent = match AgentMetadata::parse(
            header_values(metadata, AGENT_ID),
            header_values(metadata, AGENT_IDENTIFIERS),
        ) {
            Ok(agent) => agent,
            Err(error) => {
                tracing::warn!(peer = %self.peer, %error, "agent refused");
                call.reject(&error.status());
                return None;
            }
        };
        let offer = Extensions::parse(header_values(metadata, EXTENSIONS));
        let accepted = server.extensions().accept(offer);
        let negotiated = Negotiated {
            peer_window_bytes: offer
                .flow_control
                .filter(|_| accepted.flow_control.is_some()),
        };
        let mut response = HeaderMap::new();
        insert(&mut response, SERVER_ID, &server.config.server_id);
        insert(
            &mut response,
            SERVER_COUNT,
            &server.config.server_count.to_string(),
        );
        if !accepted.is_empty() {
            insert(&mut response, EXTENSIONS, &accepted.to_string());
        }
        let stream = match call.accept(response) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "agent went away");
                return None;
            }
        };
        let retired = Arc::new(Notify::new());
        let observer = LinkObserver {
            server: Arc::downgrade(server),
            metrics: Arc::clone(&server.metrics),
            agent_id: agent.agent_id.clone(),
            paused: Mutex::default(),
            retired: Arc::clone(&retired),
        };
        let machine = Link::new(
            server.config.link.clone(),
            negotiated,
            fastrand::i64(1..i64::MAX / 2),
        );
        let tunnel = Tunnel::new(server.new_link_id(), machine, observer);
        server.connected(&tunnel, &agent);
        server.metrics.call_started("Connect");
        tracing::info!(
            link = %tunnel.id(), peer = %self.peer, agent_id = agent.agent_id,
            flow_control = negotiated.peer_window_bytes.is_some(), "agent connected"
        );
        Some(AgentLink {
            server: Arc::clone(server),
            peer: self.peer,
            agent_id: agent.agent_id,
            driver: TunnelDriver::new(server.runtime.clone(), tunnel, stream),
            retired: Box::pin(async move { retired.notified().await }),
        })
    }
}

impl<R: Runtime> AgentLink<R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = match self.driver.poll(cx) {
            Poll::Ready(end) => end,
            Poll::Pending if self.retired.as_mut().poll(cx).is_ready() => TunnelEnd::Finished,
            Poll::Pending => return Poll::Pending,
        };
        let link = self.driver.tunnel().id();
        match end {
            TunnelEnd::Finished => {
                tracing::info!(%link, peer = %self.peer, agent_id = self.agent_id, "agent disconnected");
                self.driver.finish(&Status::ok());
            }
            TunnelEnd::Failed(status) => {
                tracing::info!(%link, peer = %self.peer, agent_id = self.agent_id, %status, "tunnel to an agent lost");
                self.driver.finish(&status);
            }
        }
        Poll::Ready(())
    }
}

impl<R: Runtime> Drop for AgentLink<R> {
    fn drop(&mut self) {
        self.server.disconnected(self.driver.tunnel().id());
        self.server.metrics.call_ended("Connect");
    }
}
