//! What a tunnel's events mean at the server: metrics, logs, routing.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dialback_core::server::{Link, LinkEvent};
use dialback_core::wire::Status;
use dialback_core::{CloseReason, Initiator, Packet};
use tokio::sync::Notify;

use super::Server;
use crate::metrics::{Counted, Segment};
use crate::runtime::Runtime;
use crate::tunnel::{Observer, Tunnel};

/// Observes one agent's tunnel.
pub(super) struct LinkObserver<R: Runtime> {
    pub(super) server: Weak<Server<R>>,
    pub(super) metrics: Arc<crate::metrics::ServerMetrics>,
    pub(super) agent_id: String,
    /// Counts while the agent is not read because a stream's queue is full.
    pub(super) paused: Mutex<Option<Counted>>,
    /// Told when the tunnel is to end because it took no dial in time.
    pub(super) retired: Arc<Notify>,
}

impl<R: Runtime> fmt::Debug for LinkObserver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkObserver")
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> LinkObserver<R> {
    /// Tells the server, if it is still there.
    fn server(&self, tell: impl FnOnce(&Server<R>)) {
        if let Some(server) = self.server.upgrade() {
            tell(&server);
        }
    }
}

impl<R: Runtime> Observer<Link> for LinkObserver<R> {
    fn observe(&self, tunnel: &Arc<Tunnel<Link>>, event: LinkEvent) {
        let (agent_id, link) = (&self.agent_id, tunnel.id());
        match event {
            LinkEvent::DialStarted => self.metrics.dial_started(),
            LinkEvent::DialEnded => self.metrics.dial_ended(),
            LinkEvent::DialFailed(failure) => self.metrics.dial_failed(failure),
            LinkEvent::Opened {
                stream,
                connect_id,
                address,
                took,
            } => {
                self.metrics.opened(took);
                let address = address.map(tracing::field::display);
                tracing::debug!(%link, %stream, %connect_id, address, agent_id, "stream established");
            }
            LinkEvent::Closed {
                stream,
                connect_id,
                lived,
                reason,
            } => {
                self.metrics.closed(lived, &reason);
                let connect_id = connect_id.map(|id| id.value());
                let initiator = reason.initiator().name();
                // The loss of a tunnel is told of once, not for each of its streams.
                if reason.is_orderly() || reason == CloseReason::TunnelLost {
                    tracing::debug!(%link, %stream, connect_id, agent_id, initiator, %reason, "stream ended");
                } else {
                    tracing::info!(%link, %stream, connect_id, agent_id, initiator, %reason, "stream ended early");
                }
            }
            LinkEvent::Draining => {
                tracing::info!(%link, agent_id, "agent is draining");
                self.server(|server| server.draining(link));
            }
            LinkEvent::Suspended => {
                self.metrics.transport_lost();
                self.server(|server| server.suspended(link));
            }
            LinkEvent::Resumed => self.server(|server| server.resumed(link)),
            LinkEvent::ResumptionConfirmed { resumption } => {
                self.server(|server| server.resumption_confirmed(link, resumption));
            }
            // Told of with the end of its transport.
            LinkEvent::Silent => {}
            LinkEvent::Broken(error) => {
                tracing::warn!(%link, agent_id, %error, "agent breaks the rules of its session, its tunnel is ended");
            }
            LinkEvent::Down(reason) => self.server(|server| server.disconnected(link, reason)),
            LinkEvent::Retired => {
                tracing::warn!(%link, agent_id, "agent took no dial in time, its tunnel is retired");
                let reason = CloseReason::TunnelEnded(Initiator::Server);
                self.server(|server| server.disconnected(link, reason));
                self.retired.notify_one();
            }
        }
    }

    fn peer_id(&self) -> &str {
        &self.agent_id
    }

    fn received(&self, packet: &Packet) {
        self.metrics.tunnel_packet(Segment::FromAgent, packet);
    }

    fn sent(&self, packet: &Packet) {
        self.metrics.tunnel_packet(Segment::ToAgent, packet);
    }

    fn paused(&self, paused: bool) {
        let counted = paused.then(|| self.metrics.full_receive_channel("Connect"));
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    }

    fn receive_failed(&self, status: &Status) {
        self.metrics
            .packet_failed(Segment::FromAgent, status.code, None);
    }
}
