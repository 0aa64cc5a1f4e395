//! Agents: their connections, and the transports of tunnels on them.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dialback_core::Identity;
use dialback_core::server::Link;
use dialback_core::wire::{PROBE, Status};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Server;
use super::agent_call::{AcceptedCall, agent_metadata};
use super::authentication::{AgentIdentity, AgentRefused, BearerToken};
use super::pending_agent::{AgentCall, PendingAgent};
use super::stop::Stage;
use crate::grpc::{self, Call, Http2Config, MethodName, ServerConnection};
use crate::listen::accept_loop;
use crate::metrics::{AgentProof, Counted, Limit, TlsListener};
use crate::net::{Listener, PeerAddr, Socket, TcpOptions};
use crate::runtime::Runtime;
use crate::timer::timeout_at;
use crate::tls::{HandshakeFailure, Reloadable, certified_names, identity};
use crate::tunnel::{TunnelDriver, TunnelEnd};

impl<R: Runtime> Server<R> {
    /// Accepts agents on a TCP listener until the server stops. Each connection uses what `tls` is when it comes.
    pub async fn serve_agents<L: Listener>(
        self: &Arc<Self>,
        listener: L,
        tls: impl Into<Reloadable<rustls::ServerConfig>>,
    ) {
        let tls = tls.into();
        let mut stop = self.stop_signal();
        let accepting = accept_loop(
            &self.runtime,
            &listener,
            self.config.max_agents,
            || self.metrics.limit_reached(Limit::Agents),
            |socket, peer| {
                let (server, tls) = (Arc::clone(self), tls.current());
                async move { server.serve_agent_socket(socket, peer, tls).await }
            },
        );
        tokio::select! {
            biased;
            // New agents are welcome until the end: a draining server still serves.
            () = stop.reached(Stage::EndingTunnels) => {}
            () = accepting => {}
        }
    }

    async fn serve_agent_socket<S: Socket>(
        self: Arc<Self>,
        socket: S,
        peer: PeerAddr,
        tls: Arc<rustls::ServerConfig>,
    ) {
        if let Err(error) = socket.set_tcp_options(&TcpOptions::grpc()) {
            tracing::debug!(%peer, %error, "socket options of an agent's connection");
        }
        let deadline = self.runtime.now() + self.config.handshake_timeout;
        let accepted = self.accept_tls(TlsListener::Agent, tls, socket, peer, deadline);
        let Some(tls) = accepted.await else { return };
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            let failure = HandshakeFailure::Alpn;
            self.metrics
                .tls_handshake_failed(TlsListener::Agent, failure);
            self.audit_refused_agent(None, peer, "tls", &failure.label());
            return tracing::warn!(%peer, "agent did not negotiate HTTP/2 (ALPN h2)");
        }
        let certificates = tls.get_ref().1.peer_certificates();
        let (key, names) = (identity(certificates), certified_names(certificates));
        let mut config = grpc::ServerConfig::agents(self.config.keepalive_time);
        config.http2.max_header_list = self.config.max_grpc_metadata_bytes;
        match ServerConnection::handshake(&self.runtime, tls, &config, deadline).await {
            Ok(connection) => {
                let mut stop = self.stop_signal();
                let _served = self.stop.agent();
                let mut connection = AgentConnection {
                    server: Arc::clone(&self),
                    peer,
                    key,
                    names,
                    connection,
                    pending: Vec::new(),
                    links: Vec::new(),
                };
                let stopped = tokio::select! {
                    biased;
                    () = poll_fn(|cx| connection.poll(cx)) => false,
                    () = stop.reached(Stage::EndingTunnels) => true,
                };
                if stopped {
                    let deadline = self.runtime.now() + GOODBYE_TIME;
                    // An agent that does not hear of it in time finds out by itself.
                    let _ = timeout_at(&self.runtime, deadline, connection.end()).await;
                }
                // With its links, whose transports are lost now.
                drop(connection);
                self.agent_connection_ended();
            }
            Err(error) => tracing::warn!(%peer, %error, "HTTP/2 connection of an agent failed"),
        }
    }
}

/// How long agents may take to hear that the server ends.
const GOODBYE_TIME: Duration = Duration::from_millis(800);

/// One agent's connection and the Connect streams on it, one as a rule: driven by one task, so that a packet
/// passes from the socket to its stream without another.
struct AgentConnection<R: Runtime, T> {
    server: Arc<Server<R>>,
    peer: PeerAddr,
    /// What tells the agent from others by its certificate; see [`identity`].
    key: Vec<u8>,
    /// The names in that certificate.
    names: Identity,
    connection: ServerConnection<R, T>,
    /// Calls whose tokens are being looked at; as many as a client may have open at most.
    pending: Vec<PendingAgent<R>>,
    links: Vec<AgentLink<R>>,
}

/// The transport of one tunnel, by one call.
struct AgentLink<R: Runtime> {
    peer: PeerAddr,
    agent_id: String,
    _open: Counted,
    driver: TunnelDriver<R, Link>,
    retired: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<R: Runtime, T: AsyncRead + AsyncWrite + Unpin> AgentConnection<R, T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The connection reads first, so that the links find what came, and writes last.
        let mut ended = self.poll_connection(cx);
        self.poll_pending(cx);
        self.links.retain_mut(|link| link.poll(cx).is_pending());
        if !ended && self.poll_connection(cx) {
            ended = true;
            // Each tells of its own end.
            self.links.retain_mut(|link| link.poll(cx).is_pending());
        }
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
                Poll::Ready(Some(Ok(call))) => self.begin(call, cx),
            }
        }
    }

    /// Takes a call in, as soon as its agent is authenticated.
    fn begin(&mut self, call: Call, cx: &mut Context<'_>) {
        let (server, peer) = (&self.server, self.peer);
        let refused = |status| tracing::warn!(%peer, %status, "call refused");
        let Ok(call) = call.route(&MethodName::CONNECT).map_err(refused) else {
            return;
        };
        let open = server.metrics.call("Connect");
        let agent = match agent_metadata(&call) {
            Ok(agent) => agent,
            Err(error) => {
                tracing::warn!(%peer, %error, "agent refused");
                server.audit_refused_agent(None, peer, "metadata", &error);
                return call.reject(&error.status());
            }
        };
        let call = AgentCall { call, agent, open };
        let Some(authenticator) = &server.config.authenticator else {
            return self.accept(call, None, cx);
        };
        let token = match BearerToken::from_metadata(call.call.metadata()) {
            Ok(token) => token,
            Err(refused) => return self.refuse(call, &refused),
        };
        let answer = authenticator.authenticate(&token);
        let deadline = server.runtime.now() + server.config.handshake_timeout;
        let pending = PendingAgent::new(&server.runtime, call, answer, deadline);
        self.pending.push(pending);
        self.poll_pending(cx);
    }

    /// Takes in, or refuses, calls whose tokens have been looked at.
    fn poll_pending(&mut self, cx: &mut Context<'_>) {
        let mut answered = Vec::new();
        self.pending.retain_mut(|pending| {
            let Poll::Ready(answer) = pending.poll(cx) else {
                return true;
            };
            answered.extend(answer);
            false
        });
        for (call, answer) in answered {
            match answer {
                Ok(identity) => self.accept(call, Some(&identity), cx),
                Err(refused) => self.refuse(call, &refused),
            }
        }
    }

    fn refuse(&self, call: AgentCall, refused: &AgentRefused) {
        let (peer, agent_id) = (self.peer, call.agent.agent_id);
        tracing::warn!(%peer, agent_id, error = %refused, "agent authentication failed");
        self.server.refused(refused);
        self.server
            .audit_refused_agent(Some(&agent_id), peer, "authentication", refused);
        call.call.reject(&refused.status());
    }

    /// `token` is what the agent's token says who it is.
    fn accept(&mut self, call: AgentCall, token: Option<&AgentIdentity>, cx: &mut Context<'_>) {
        let AgentCall { call, agent, open } = call;
        if call.metadata().contains_key(PROBE) {
            return self.server.answer_probe(call, &agent, self.peer);
        }
        let proof = match (self.key.is_empty(), token) {
            (true, None) => AgentProof::Nothing,
            (true, Some(_)) => AgentProof::Token,
            (false, None) => AgentProof::Certificate,
            (false, Some(_)) => AgentProof::CertificateAndToken,
        };
        let (mut key, mut identity) = (self.key.clone(), self.names.clone());
        if let Some(token) = token {
            key.push(0);
            key.extend_from_slice(token.as_bytes());
            identity.service_account = token.service_account().cloned();
        }
        let (server, peer) = (&self.server, self.peer);
        let Some(accepted) = server.accept_agent(call, agent, peer, &key, identity) else {
            return;
        };
        server.metrics.agent_taken(proof);
        let AcceptedCall {
            agent_id,
            tunnel,
            stream,
            retired,
        } = accepted;
        if tunnel.with(|link| link.has_flow_control()) {
            let window = Http2Config::CREDITED_STREAM_WINDOW;
            self.connection.set_stream_window(window);
        }
        let mut link = AgentLink {
            peer,
            agent_id,
            _open: open,
            driver: TunnelDriver::new(server.runtime.clone(), tunnel, stream),
            retired: Box::pin(async move { retired.notified().await }),
        };
        if link.poll(cx).is_pending() {
            self.links.push(link);
        }
    }

    /// Ends every tunnel in order, so that agents need not wait for what does not come back; ready when the agent
    /// has ended the connection.
    async fn end(&mut self) {
        self.pending.clear();
        for mut link in self.links.drain(..) {
            link.driver.give_up();
            link.driver.finish(&Status::ok());
        }
        self.connection.graceful_shutdown();
        // A call that comes now is dropped, which refuses it.
        while let Some(Ok(_)) = self.connection.accept().await {}
    }
}

impl<R: Runtime> AgentLink<R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = match self.driver.poll(cx) {
            Poll::Ready(end) => end,
            Poll::Pending if self.retired.as_mut().poll(cx).is_ready() => TunnelEnd::Finished,
            Poll::Pending => return Poll::Pending,
        };
        let tunnel = self.driver.tunnel();
        let link = tunnel.id();
        let waits = tunnel.with(|link| link.is_suspended());
        match end {
            TunnelEnd::Replaced => {
                tracing::info!(%link, peer = %self.peer, agent_id = self.agent_id, "agent's former transport ended");
            }
            TunnelEnd::Left => {
                tracing::warn!(%link, peer = %self.peer, agent_id = self.agent_id, resumable = waits, "agent does not answer, its transport is ended");
            }
            TunnelEnd::Failed(status) if waits => {
                tracing::info!(%link, peer = %self.peer, agent_id = self.agent_id, %status, "transport of a tunnel lost, its streams wait");
                self.driver.finish(&status);
            }
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
