//! The agent's end of a tunnel: dials, endpoint connections, and the packets they become.

mod config;
mod endpoints;
mod ends;
mod event;
mod packets;
mod state;
#[cfg(test)]
mod tests;
mod transmit;
mod transport;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

pub use config::LinkConfig;
pub use event::{EndpointOutput, LinkEvent};
use state::AgentStream;

use crate::close::{CloseReason, Initiator};
use crate::ids::{DialId, StreamId};
use crate::mux::{Mux, QueuedBytes, StreamTimer};
use crate::negotiated::Negotiated;
use crate::session::{Session, SessionTimeout};

/// One Connect stream to one server, seen from the agent.
///
/// The task of the tunnel gives it packets and takes packets; each endpoint connection has a task that talks
/// to its own stream on it. After every input the driver drains [`Link::poll_wake`] and [`Link::poll_event`].
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    mux: Mux<AgentStream>,
    dials: BTreeMap<DialId, StreamId>,
    next_connect_id: i64,
    /// The server has said that it is about to stop.
    server_drains: bool,
    negotiated: Negotiated,
    session: Session,
    events: VecDeque<LinkEvent>,
}

impl Link {
    /// A link that is up.
    #[must_use]
    pub fn new(config: LinkConfig, negotiated: Negotiated) -> Self {
        Self {
            mux: Mux::new(config.mux.clone(), negotiated),
            session: Session::new(
                config.session.clone(),
                negotiated.resume,
                config.mux.memory.clone(),
            ),
            server_drains: false,
            negotiated,
            config,
            dials: BTreeMap::new(),
            next_connect_id: 1,
            events: VecDeque::new(),
        }
    }

    /// Whether the streams have credit of their own (`flow-control/1`): none can then stop the tunnel from being
    /// read.
    #[must_use]
    pub const fn has_flow_control(&self) -> bool {
        self.negotiated.peer_window_bytes.is_some()
    }

    /// When [`Link::handle_timeout`] is next due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.mux.poll_timeout(), self.session.poll_timeout()) {
            (Some(streams), Some(session)) => Some(streams.min(session)),
            (streams, session) => streams.or(session),
        }
    }

    /// Acts on every deadline that has passed; harmless when early, late or repeated.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.session.handle_timeout(now) {
            SessionTimeout::None => {}
            SessionTimeout::Silent => {
                self.events.push_back(LinkEvent::Silent);
                self.handle_lost(now);
            }
            SessionTimeout::Expired => self.end_all(now, CloseReason::NotResumed),
        }
        while let Some((id, timer)) = self.mux.poll_expired(now) {
            if timer == StreamTimer::Role && self.waits_for_transport(id) {
                // Nobody can take what it waits for now; the session's own time is running.
                self.await_progress(now, id);
                continue;
            }
            let reason = match timer {
                StreamTimer::SlowReader => CloseReason::SlowReader(Initiator::Agent),
                StreamTimer::Role => CloseReason::CloseTimedOut(Initiator::Agent),
            };
            self.reset(now, id, reason);
        }
    }

    /// The next stream whose endpoint task is to call [`Link::poll_endpoint`] and [`Link::wants_endpoint_data`]
    /// again.
    pub fn poll_wake(&mut self) -> Option<StreamId> {
        self.mux.poll_wake()
    }

    /// The next thing to do, to count or to log.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Streams in the table, pending dials included.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.mux.len()
    }

    /// The payload bytes that wait in each stream's queues; walks over every stream.
    pub fn queued_bytes(&self) -> impl Iterator<Item = QueuedBytes> + '_ {
        self.mux.queued_bytes()
    }

    /// The server has said that it is about to stop.
    #[must_use]
    pub const fn is_server_draining(&self) -> bool {
        self.server_drains
    }

    /// Nothing is left: no stream, dial, queued packet or timer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mux.is_empty() && self.dials.is_empty()
    }

    fn waits_for_transport(&self, id: StreamId) -> bool {
        self.session.is_suspended()
            && self
                .mux
                .stream(id)
                .is_some_and(|stream| !stream.send.is_closed())
    }
}
