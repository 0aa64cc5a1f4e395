//! What a tunnel's events mean at the agent: dials, metrics, logs.

use std::fmt;
use std::sync::{Arc, Weak};

use dialback_core::agent::{Link, LinkEvent};
use dialback_core::wire::Status;
use dialback_core::{CloseReason, Packet};

use tokio::sync::Notify;
use tokio::sync::mpsc::WeakSender;

use super::endpoint::serve_endpoint;
use super::{Agent, Report};
use crate::metrics::{AgentMetrics, Segment};
use crate::runtime::Runtime;
use crate::tunnel::{Observer, Tunnel};

/// Observes one tunnel to a server.
pub(super) struct LinkObserver<R: Runtime> {
    pub(super) server_id: String,
    /// Told when the tunnel is over.
    pub(super) down: Arc<Notify>,
    pub(super) agent: Weak<Agent<R>>,
    pub(super) metrics: Arc<AgentMetrics>,
    /// To the fleet, which waits for everyone else who can reach it.
    pub(super) reports: WeakSender<Report<R>>,
}

impl<R: Runtime> fmt::Debug for LinkObserver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkObserver").finish_non_exhaustive()
    }
}

impl<R: Runtime> Observer<Link> for LinkObserver<R> {
    fn observe(&self, tunnel: &Arc<Tunnel<Link>>, event: LinkEvent) {
        let link = tunnel.id();
        match event {
            LinkEvent::Dial {
                stream,
                protocol,
                address,
            } => {
                let Some(agent) = self.agent.upgrade() else {
                    return;
                };
                let runtime = agent.runtime.clone();
                runtime.spawn(serve_endpoint(
                    agent,
                    Arc::clone(tunnel),
                    stream,
                    protocol,
                    address,
                ));
            }
            LinkEvent::DialAbandoned { stream } => tunnel.wake_stream(stream),
            LinkEvent::Opened { stream, connect_id } => {
                self.metrics.endpoint_opened();
                let connect_id = connect_id.map(|id| id.value());
                tracing::debug!(%link, %stream, connect_id, "endpoint connected");
            }
            LinkEvent::Closed {
                stream,
                connect_id,
                lived,
                reason,
            } => {
                self.metrics.endpoint_closed(&reason);
                let (connect_id, initiator) =
                    (connect_id.map(|id| id.value()), reason.initiator().name());
                // The loss of a tunnel is told of once, not for each of its streams.
                if reason.is_orderly() || reason == CloseReason::TunnelLost {
                    tracing::debug!(%link, %stream, connect_id, ?lived, initiator, %reason, "stream ended");
                } else {
                    tracing::info!(%link, %stream, connect_id, ?lived, initiator, %reason, "stream ended early");
                }
            }
            LinkEvent::ServerDraining => {
                tracing::info!(%link, server_id = self.server_id, "server is draining, another is looked for");
                let (Some(agent), Some(reports)) = (self.agent.upgrade(), self.reports.upgrade())
                else {
                    return;
                };
                agent.runtime.spawn(async move {
                    // Without a fleet no other server is wanted.
                    let _ = reports.send(Report::ServerDraining(link)).await;
                });
            }
            LinkEvent::Suspended => self.metrics.transport_lost(),
            LinkEvent::Resumed => self.metrics.resumed(),
            // Told of with the end of its transport.
            LinkEvent::Silent => {}
            LinkEvent::Broken(error) => {
                tracing::warn!(%link, %error, "server breaks the rules of its session, the tunnel is ended");
            }
            LinkEvent::Down => self.down.notify_one(),
        }
    }

    fn peer_id(&self) -> &str {
        &self.server_id
    }

    fn received(&self, packet: &Packet) {
        self.metrics.tunnel_packet(Segment::ToAgent, packet);
    }

    fn sent(&self, packet: &Packet) {
        self.metrics.tunnel_packet(Segment::FromAgent, packet);
    }

    /// The reference's agent has no metric of it; a paused tunnel shows in the server's.
    fn paused(&self, _: bool) {}

    fn receive_failed(&self, status: &Status) {
        self.metrics
            .packet_failed(Segment::ToAgent, status.code, None);
    }
}
