//! Listening sockets.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Poll, Waker};

use dialback_runtime::{Listener, PeerAddr};

use super::connection::{ConnectionId, Side};
use super::host_state::Place;
use super::stream::SimulatedStream;
use crate::simulation::Shared;

/// Connections that nobody has accepted yet.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(super) waiting: VecDeque<ConnectionId>,
    limit: usize,
    accepting: Option<Waker>,
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            limit,
            accepting: None,
        }
    }

    /// `false` when there is no room for it.
    pub(super) fn push(&mut self, id: ConnectionId) -> bool {
        if self.waiting.len() >= self.limit {
            return false;
        }
        self.waiting.push_back(id);
        if let Some(waker) = self.accepting.take() {
            waker.wake();
        }
        true
    }
}

/// Accepts connections on a simulated host.
pub struct SimulatedListener {
    shared: Arc<Shared>,
    place: Place,
}

impl SimulatedListener {
    pub(crate) fn new(shared: &Arc<Shared>, place: Place) -> Self {
        Self {
            shared: Arc::clone(shared),
            place,
        }
    }
}

impl fmt::Debug for SimulatedListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedListener")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Listener for SimulatedListener {
    type Stream = SimulatedStream;

    async fn accept(&self) -> io::Result<(SimulatedStream, PeerAddr)> {
        poll_fn(|cx| {
            let mut world = self.shared.world();
            let world = &mut *world;
            let Some(backlog) = world.listeners.get_mut(&self.place) else {
                return Poll::Pending;
            };
            let next = std::iter::from_fn(|| backlog.waiting.pop_front())
                .find(|id| world.connections.contains_key(id));
            let Some(id) = next else {
                backlog.accepting = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let Some(connection) = world.connections.get_mut(&id) else {
                return Poll::Pending;
            };
            connection.ends[Side::Server].held = true;
            let peer = match &connection.ends[Side::Client].place {
                Place::Tcp(address) => PeerAddr::Tcp(*address),
                Place::Unix(..) => PeerAddr::Unix,
            };
            let stream = SimulatedStream::new(&self.shared, id, Side::Server);
            Poll::Ready(Ok((stream, peer)))
        })
        .await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.place {
            Place::Tcp(address) => Ok(*address),
            Place::Unix(..) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a Unix socket has no IP address",
            )),
        }
    }
}

impl Drop for SimulatedListener {
    fn drop(&mut self) {
        self.shared.world().stop_listening(&self.place);
    }
}
