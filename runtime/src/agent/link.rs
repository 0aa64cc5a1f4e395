//! One link to a server, from its acceptance to its end.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dialback_core::LinkId;
use dialback_core::agent::Link;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

use super::attempt::Established;
use super::observer::LinkObserver;
use super::{Agent, Report};
use crate::grpc::{Caller, ClientConnection};
use crate::runtime::Runtime;
use crate::timer::Timer;
use crate::tunnel::{Tunnel, TunnelDriver, TunnelEnd};

/// How long a server that is going away may take to confirm the end of an idle call.
const FAREWELL_TIME: Duration = Duration::from_secs(5);

impl<R: Runtime> Agent<R> {
    pub(super) fn serve_link(
        self: &Arc<Self>,
        id: LinkId,
        established: Established<R>,
        reports: mpsc::Sender<Report<R>>,
    ) {
        let Established {
            hello,
            negotiated,
            caller,
            connection,
            stream,
        } = established;
        let observer = LinkObserver {
            agent: Arc::downgrade(self),
            metrics: Arc::clone(&self.metrics),
        };
        let machine = Link::new(self.config.link.clone(), negotiated);
        let tunnel = Tunnel::new(id, machine, observer);
        self.tunnels().insert(id, Arc::clone(&tunnel));
        if *self.draining.borrow() {
            tunnel.with(Link::drain);
        }
        tracing::info!(
            link = %id, server_id = hello.server_id,
            flow_control = negotiated.peer_window_bytes.is_some(), "connected to a server"
        );
        let agent = Arc::clone(self);
        self.runtime.spawn(async move {
            let mut stopped = agent.stopped.subscribe();
            let driver = TunnelDriver::new(agent.runtime.clone(), Arc::clone(&tunnel), stream);
            let mut link = ServedLink {
                driver,
                connection,
                caller,
                leaving: false,
                farewell: Timer::new(agent.runtime.clone()),
                runtime: agent.runtime.clone(),
                reports,
            };
            let end = tokio::select! {
                end = poll_fn(|cx| link.poll(cx)) => Some(end),
                _ = stopped.wait_for(|stopped| *stopped) => None,
            };
            match end {
                Some(TunnelEnd::Failed(status)) => {
                    agent.metrics.server_connection_failed();
                    tracing::warn!(link = %id, server_id = hello.server_id, %status, "connection to a server lost");
                }
                Some(TunnelEnd::Finished) | None => {
                    tracing::info!(link = %id, server_id = hello.server_id, "connection to a server ended");
                }
            }
            agent.tunnels().remove(&id);
            let reports = link.reports.clone();
            drop(link);
            let _ = reports.send(Report::Down(id)).await;
        });
    }
}

/// The connection and the stream on it, driven by one task.
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
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        // The connection reads first, so that the tunnel finds what came, and writes last. How it ended is what
        // the stream says.
        let _ = self.connection.poll_closed(cx);
        if let Poll::Ready(end) = self.driver.poll(cx) {
            return Poll::Ready(end);
        }
        let _ = self.connection.poll_closed(cx);
        if !self.leaving && self.caller.going_away().is_some() {
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
}
