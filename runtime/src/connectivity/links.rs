//! Connections to a proxy server in grpc mode, shared by all dials through it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::error::ProxyError;
use super::heard::Heard;
use super::transport::ProxyServer;
use crate::grpc::{Caller, ClientConfig, ClientConnection, Target};
use crate::runtime::Runtime;

/// The connections that are up; one, unless the server takes fewer streams on it than there are.
#[derive(Debug)]
pub(super) struct Links<R: Runtime> {
    runtime: R,
    server: ProxyServer,
    /// Locked while one more is being opened: whoever comes meanwhile uses that one.
    open: Mutex<Vec<Arc<Link>>>,
}

/// One connection.
#[derive(Debug)]
struct Link {
    /// A lock, for a caller is sent between threads and not shared.
    caller: std::sync::Mutex<Caller>,
    streams: AtomicUsize,
    state: watch::Receiver<State>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The server has not said anything.
    Opening,
    Up,
    /// It has ended; why, if not in order.
    Ended(Option<String>),
}

/// The right to one stream on a connection, which stays up for it.
#[derive(Debug)]
pub(super) struct Slot {
    link: Arc<Link>,
}

impl<R: Runtime> Links<R> {
    pub(super) fn new(runtime: R, server: ProxyServer) -> Self {
        Self {
            runtime,
            server,
            open: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn server(&self) -> &ProxyServer {
        &self.server
    }

    /// A connection with room for one more stream: one that is up, or a new one.
    pub(super) async fn slot(&self, limit: Duration) -> Result<Slot, ProxyError> {
        let mut open = self.open.lock().await;
        prune(&mut open);
        if let Some(slot) = open.iter().find_map(Slot::on) {
            return Ok(slot);
        }
        let link = Arc::new(self.open(limit).await?);
        let slot = Slot::on(&link).ok_or_else(|| {
            ProxyError::Http2("the server takes no streams on a new connection".to_owned())
        })?;
        open.push(link);
        Ok(slot)
    }

    /// How many connections are up.
    pub(super) async fn count(&self) -> usize {
        let mut open = self.open.lock().await;
        prune(&mut open);
        open.len()
    }

    /// Connects, and waits for the server's SETTINGS.
    async fn open(&self, limit: Duration) -> Result<Link, ProxyError> {
        let failed = |error: &dyn std::fmt::Display| ProxyError::Http2(error.to_string());
        let (transport, heard) = Heard::new(self.server.connect(&self.runtime, limit).await?);
        let (tls, authority) = self.server.authority();
        let target = Target::new(tls, authority).map_err(|error| failed(&error))?;
        let config = ClientConfig::frontend();
        let deadline = self.runtime.now() + limit;
        let (caller, mut connection) =
            ClientConnection::handshake(&self.runtime, transport, target, &config, deadline)
                .await
                .map_err(|error| failed(&error))?;
        let (tell, mut state) = watch::channel(State::Opening);
        self.runtime.spawn(async move {
            let end = poll_fn(|cx| {
                let end = connection.poll_closed(cx);
                if end.is_pending() && heard.load(Ordering::Acquire) {
                    tell.send_if_modified(|state| {
                        let is_news = *state == State::Opening;
                        if is_news {
                            *state = State::Up;
                        }
                        is_news
                    });
                }
                match end {
                    Poll::Ready(end) => Poll::Ready(end),
                    // Nobody waits for a connection that was given up while it was opened.
                    Poll::Pending => Poll::Pending,
                }
            });
            let why = end.await.err().map(|error| error.to_string());
            // Gone with all who would want to know.
            let _ = tell.send(State::Ended(why));
        });
        let settled = state.wait_for(|state| *state != State::Opening).await;
        let settled = settled.map_or(State::Ended(None), |state| state.clone());
        if let State::Ended(why) = settled {
            let why = why.unwrap_or_else(|| "the server closed the connection".to_owned());
            return Err(ProxyError::Http2(why));
        }
        Ok(Link {
            caller: std::sync::Mutex::new(caller),
            streams: AtomicUsize::new(0),
            state,
        })
    }
}

/// Forgets what has ended, and closes what a burst of dials has left behind: one idle connection is kept.
fn prune(open: &mut Vec<Arc<Link>>) {
    let mut kept = 0;
    open.retain(|link| {
        let is_needed = kept == 0 || link.streams.load(Ordering::Relaxed) > 0;
        let keep = is_needed && link.is_usable();
        kept += usize::from(keep);
        keep
    });
}

impl Link {
    fn is_usable(&self) -> bool {
        *self.state.borrow() == State::Up && self.caller().going_away().is_none()
    }

    fn caller(&self) -> Caller {
        // A clone can't panic, so nothing is ever left half done under the lock.
        let caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner);
        caller.clone()
    }
}

impl Slot {
    /// A slot on `link`, if the server takes one more stream on it.
    fn on(link: &Arc<Link>) -> Option<Self> {
        let most = link.caller().max_streams();
        let room = |streams| (streams < most).then_some(streams + 1);
        link.streams
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .ok()?;
        let link = Arc::clone(link);
        Some(Self { link })
    }

    pub(super) fn caller(&self) -> Caller {
        self.link.caller()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.link.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
