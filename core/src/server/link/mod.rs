//! One agent's tunnel at the server: pending dials, streams, their queues both ways.

mod config;
mod ends;
mod event;
mod frontends;
mod load;
mod packets;
mod state;
#[cfg(test)]
mod tests;
mod transmit;
mod transport;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

pub use config::LinkConfig;
pub use event::LinkEvent;
use load::DialHistory;
use state::{Dialing, Phase, ServerStream};

use super::dial::DialError;
use crate::close::{CloseReason, Initiator};
use crate::ids::{ConnectId, DialId, StreamId};
use crate::mux::{Mux, QueuedBytes, StreamTimer};
use crate::negotiated::Negotiated;
use crate::session::{Session, SessionTimeout};
use crate::wire::Packet;

/// The server's end of one agent's Connect stream.
///
/// The task of the tunnel gives it packets and takes packets; each frontend's task talks to its own stream
/// on it. After every input the driver drains [`Link::poll_wake`] and [`Link::poll_event`]. All maps are
/// keyed within this link, so that two tunnels of one agent id never meet (Konnectivity issues 462, 894).
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    mux: Mux<ServerStream>,
    dials: BTreeMap<DialId, StreamId>,
    next_dial: i64,
    /// Ids that this link does not know, whose close waits for the transport.
    strangers: BTreeSet<ConnectId>,
    draining: bool,
    /// The agent was told that this server drains.
    announced: bool,
    negotiated: Negotiated,
    session: Session,
    history: DialHistory,
    events: VecDeque<LinkEvent>,
}

impl Link {
    /// A link that is up. `first_dial` is where its dial ids start, best drawn at random so that ids of
    /// different links differ in the agents' logs.
    #[must_use]
    pub fn new(config: LinkConfig, negotiated: Negotiated, first_dial: i64) -> Self {
        Self {
            mux: Mux::new(config.mux.clone(), negotiated),
            session: Session::new(
                config.session.clone(),
                negotiated.resume,
                config.mux.memory.clone(),
            ),
            negotiated,
            config,
            dials: BTreeMap::new(),
            next_dial: first_dial,
            strangers: BTreeSet::new(),
            draining: false,
            announced: false,
            history: DialHistory::default(),
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
            let Some(stream) = self.mux.stream(id) else {
                continue;
            };
            match (timer, &stream.state.phase) {
                (StreamTimer::SlowReader, _) => {
                    self.reset(now, id, CloseReason::SlowReader(Initiator::Server))
                }
                (StreamTimer::Role, Phase::Dialing(Dialing { dial, sent })) => {
                    let (dial, sent) = (*dial, *sent);
                    self.time_out_dial(now, id, dial, sent);
                }
                (StreamTimer::Role, Phase::Open { .. }) if self.session.is_suspended() => {
                    // Nobody can answer now; the session's own time is running.
                    self.mux
                        .await_progress(now, id, self.config.mux.close_timeout);
                }
                (StreamTimer::Role, Phase::Open { .. }) => {
                    self.reset(now, id, CloseReason::CloseTimedOut(Initiator::Server))
                }
                (StreamTimer::Role, Phase::Ended(_)) => {}
            }
        }
    }

    fn time_out_dial(&mut self, now: Instant, id: StreamId, dial: DialId, sent: bool) {
        self.dials.remove(&dial);
        if sent {
            self.mux.send_control(Packet::CloseDial { dial });
            self.fail_dial(id, DialError::TimedOut);
            return;
        }
        self.mux.retract_control(
            |packet| matches!(packet, Packet::DialRequest { dial: queued, .. } if *queued == dial),
        );
        self.fail_dial(id, DialError::SendTimedOut);
        if self.config.dial_timeout.is_some() && self.session.is_up() {
            if self.negotiated.resume {
                self.events.push_back(LinkEvent::Silent);
                return self.handle_lost(now);
            }
            self.events.push_back(LinkEvent::Retired);
        }
    }

    /// The next stream whose frontend is to call [`Link::poll_stream`] and [`Link::wants_frontend_data`] again.
    pub fn poll_wake(&mut self) -> Option<StreamId> {
        self.mux.poll_wake()
    }

    /// The next thing worth counting or logging.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.events.pop_front()
    }

    /// Streams in the table, pending dials and ended ones that their frontend has not yet taken included.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.mux.len()
    }

    /// The payload bytes that wait in each stream's queues; walks over every stream.
    pub fn queued_bytes(&self) -> impl Iterator<Item = QueuedBytes> + '_ {
        self.mux.queued_bytes()
    }

    /// Nothing is left: no stream, dial, queued packet or timer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mux.is_empty() && self.dials.is_empty()
    }

    /// The agent has announced its end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }
}
