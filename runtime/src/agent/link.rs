//! One tunnel to a server, from its first transport to the end of the last.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dialback_core::agent::Link;
use dialback_core::wire::SessionGrant;
use dialback_core::{LinkId, SessionError};
use tokio::sync::{Notify, mpsc, watch};
use tokio_rustls::client::TlsStream;

use super::attempt::{Established, Resumed};
use super::observer::LinkObserver;
use super::{Agent, HeldLink, Report};
use crate::grpc::{Caller, ClientConnection, Http2Config};
use crate::runtime::Runtime;
use crate::timer::{Timer, timeout_at};
use crate::tunnel::{MeasuredTunnel, Tunnel, TunnelDriver, TunnelEnd};

/// How long a server may take to confirm the end of an idle call, or of all when the agent stops.
const FAREWELL_TIME: Duration = Duration::from_secs(5);
const STOP_TIME: Duration = Duration::from_millis(800);

impl<R: Runtime> Agent<R> {
    /// Serves a tunnel in a task of its own: over `established` first, then over what comes of `transports`.
    pub(super) fn serve_link(
        self: &Arc<Self>,
        id: LinkId,
        established: Established<R>,
        mut transports: mpsc::Receiver<Box<Established<R>>>,
        reports: mpsc::Sender<Report<R>>,
    ) {
        let down = Arc::new(Notify::new());
        let Established {
            hello,
            negotiated,
            session,
            ..
        } = &established;
        let observer = LinkObserver {
            server_id: hello.server_id.clone(),
            down: Arc::clone(&down),
            agent: Arc::downgrade(self),
            metrics: Arc::clone(&self.metrics),
            reports: reports.downgrade(),
        };
        let mut config = self.config.link.clone();
        if let Some(SessionGrant { timeout, .. }) = session {
            // Longer than the server keeps it, waiting would be in vain.
            config.session.timeout = config.session.timeout.min(*timeout);
        }
        let mut machine = Link::new(config, *negotiated);
        machine.handle_established(self.runtime.now());
        let tunnel = Tunnel::new(id, machine, observer);
        self.metrics
            .tunnel_began(MeasuredTunnel::new(&self.runtime, &tunnel));
        let held = HeldLink {
            tunnel: Arc::clone(&tunnel),
            session: *session,
            handed_over: false,
            since: self.runtime.now(),
        };
        self.links().insert(id, held);
        if *self.draining.borrow() {
            tunnel.with(Link::drain);
        }
        tracing::info!(
            link = %id, server_id = hello.server_id,
            flow_control = negotiated.peer_window_bytes.is_some(),
            session = session.map(|grant| tracing::field::display(grant.id)), "connected to a server"
        );
        let server_id = hello.server_id.clone();
        let agent = Arc::clone(self);
        self.runtime.spawn(async move {
            let mut stopped = agent.stopped.subscribe();
            let mut next = Some(established);
            while let Some(transport) = next.take() {
                let served = ServedLink::new(&agent, &tunnel, transport, reports.clone());
                agent
                    .serve_transport(served, &server_id, &mut stopped)
                    .await;
                if !tunnel.with(|link| link.is_suspended()) {
                    break;
                }
                next = loop {
                    let _ = reports.send(Report::Suspended(id)).await;
                    let transport = tokio::select! {
                        biased;
                        _ = stopped.wait_for(|stopped| *stopped) => None,
                        () = down.notified() => None,
                        transport = transports.recv() => transport,
                    };
                    let Some(transport) = transport else {
                        break None;
                    };
                    match agent.resume(&tunnel, *transport) {
                        Ok(resumed) => break Some(resumed),
                        Err(NotResumed::Stale) => {}
                        Err(NotResumed::Ended) => break None,
                    }
                };
            }
            let now = agent.runtime.now();
            tunnel.with(|link| link.handle_down(now));
            agent.links().remove(&id);
            let _ = reports.send(Report::Down(id)).await;
        });
    }

    /// Moves packets over one transport until it ends, or the agent stops.
    async fn serve_transport(
        &self,
        mut served: ServedLink<R>,
        server_id: &str,
        stopped: &mut watch::Receiver<bool>,
    ) {
        let tunnel = Arc::clone(served.driver.tunnel());
        let link = tunnel.id();
        let end = tokio::select! {
            biased;
            end = poll_fn(|cx| served.poll(cx)) => Some(end),
            _ = stopped.wait_for(|stopped| *stopped) => None,
        };
        let Some(end) = end else {
            served.driver.give_up();
            served.driver.half_close();
            let deadline = self.runtime.now() + STOP_TIME;
            // A server that does not hear of it in time finds out by itself.
            let _ = timeout_at(&self.runtime, deadline, served.ended()).await;
            return;
        };
        let waits = tunnel.with(|link| link.is_suspended());
        match end {
            TunnelEnd::Failed(status) => {
                self.metrics.server_connection_failed();
                if waits {
                    tracing::warn!(%link, server_id, %status, "connection to a server lost, its streams wait");
                } else {
                    tracing::warn!(%link, server_id, %status, "connection to a server lost");
                }
            }
            TunnelEnd::Left => {
                self.metrics.server_connection_failed();
                tracing::warn!(%link, server_id, resumable = waits, "server does not answer, its connection is ended");
            }
            TunnelEnd::Finished | TunnelEnd::Replaced => {
                tracing::info!(%link, server_id, "connection to a server ended");
            }
        }
    }

    /// Puts a tunnel on another transport, which is returned.
    fn resume(
        &self,
        tunnel: &Arc<Tunnel<Link>>,
        transport: Established<R>,
    ) -> Result<Established<R>, NotResumed> {
        let id = tunnel.id();
        let Resumed {
            received, offered, ..
        } = transport.resumed.ok_or(NotResumed::Ended)?;
        if let Some(held) = self.links().get_mut(&id) {
            held.handed_over = false;
        }
        if tunnel.with(|link| link.received_packets()) != offered {
            tracing::info!(link = %id, "connection not used: packets came over another since it was asked for");
            return Err(NotResumed::Stale);
        }
        let now = self.runtime.now();
        let resumed: Result<(), SessionError> =
            tunnel.replace_transport(|link| link.handle_resumed(now, received));
        if let Err(error) = resumed {
            tracing::warn!(link = %id, %error, "tunnel can't go on over another connection, its streams end");
            return Err(NotResumed::Ended);
        }
        if let Some(held) = self.links().get_mut(&id) {
            held.session = transport.session;
        }
        let hello = &transport.hello;
        tracing::info!(link = %id, server_id = hello.server_id, "tunnel resumed over another connection");
        Ok(transport)
    }
}

/// Why a tunnel does not go on over a transport that it was given.
enum NotResumed {
    /// The server was told of fewer packets than were taken since, and would send those again.
    Stale,
    /// The session is over.
    Ended,
}

/// A connection and the stream on it, driven by one task.
struct ServedLink<R: Runtime> {
    driver: TunnelDriver<R, Link>,
    connection: ClientConnection<R, TlsStream<R::TcpStream>>,
    caller: Caller,
    leaving: bool,
    /// How long the server may take to end a call that we ended.
    farewell: Timer<R>,
    runtime: R,
    reports: mpsc::Sender<Report<R>>,
}

impl<R: Runtime> ServedLink<R> {
    fn new(
        agent: &Agent<R>,
        tunnel: &Arc<Tunnel<Link>>,
        transport: Established<R>,
        reports: mpsc::Sender<Report<R>>,
    ) -> Self {
        let Established {
            caller,
            mut connection,
            stream,
            ..
        } = transport;
        if tunnel.with(|link| link.has_flow_control()) {
            connection.set_stream_window(Http2Config::CREDITED_STREAM_WINDOW);
        }
        let runtime = agent.runtime.clone();
        Self {
            driver: TunnelDriver::new(runtime.clone(), Arc::clone(tunnel), stream),
            connection,
            caller,
            leaving: false,
            farewell: Timer::new(runtime.clone()),
            runtime,
            reports,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        // The connection reads first, so that the tunnel finds what came, and writes last. How it ended is what
        // the stream says.
        let _ = self.connection.poll_closed(cx);
        if let Poll::Ready(end) = self.driver.poll(cx) {
            return Poll::Ready(end);
        }
        let closed = self.connection.poll_closed(cx).is_ready();
        // A connection that broke takes no new calls either, but nobody said goodbye.
        if !closed && !self.leaving && self.caller.going_away().is_some() {
            let link = self.driver.tunnel().id();
            // A full queue is tried again at the next turn, which the end of the stream brings at the latest.
            self.leaving = self.reports.try_send(Report::GoingAway(link)).is_ok();
            tracing::info!(%link, "server is going away");
        }
        if self.leaving && self.driver.tunnel().with(|link| link.is_empty()) {
            // What was sent last is still to leave: the call is ended, not dropped.
            self.driver.half_close();
            if self.farewell.deadline().is_none() {
                self.farewell.set(Some(self.runtime.now() + FAREWELL_TIME));
            }
            let _ = self.connection.poll_closed(cx);
        }
        match self.farewell.poll(cx) {
            Poll::Ready(_) => Poll::Ready(TunnelEnd::Finished),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the server has ended the call that this side has ended.
    async fn ended(&mut self) {
        poll_fn(|cx| {
            let closed = self.connection.poll_closed(cx);
            if closed.is_ready() || self.driver.poll_ended(cx).is_ready() {
                return Poll::Ready(());
            }
            self.connection.poll_closed(cx).map(|_| ())
        })
        .await;
    }
}
