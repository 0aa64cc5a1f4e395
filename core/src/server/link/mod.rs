//! One agent's tunnel at the server: pending dials, streams, their queues both ways.

mod config;
mod event;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

pub use config::LinkConfig;
pub use event::LinkEvent;
use state::{Dialing, Phase, ServerStream};

use super::dial::{DialError, DialFailure, StreamOutput};
use crate::close::CloseReason;
use crate::ids::{ConnectId, DialId, StreamId};
use crate::mux::{Mux, Negotiated, QueuedBytes, Received, StreamTimer};
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
    up: bool,
    events: VecDeque<LinkEvent>,
}

impl Link {
    /// A link that is up. `first_dial` is where its dial ids start, best drawn at random so that ids of
    /// different links differ in the agents' logs.
    #[must_use]
    pub fn new(config: LinkConfig, negotiated: Negotiated, first_dial: i64) -> Self {
        Self {
            mux: Mux::new(config.mux.clone(), negotiated),
            config,
            dials: BTreeMap::new(),
            next_dial: first_dial,
            strangers: BTreeSet::new(),
            draining: false,
            up: true,
            events: VecDeque::new(),
        }
    }

    // ---- from the agent ----

    /// A packet from the agent.
    ///
    /// Nothing in it is trusted: what names no stream of this link is answered or ignored as the protocol
    /// says, and a broken credit rule resets the one stream.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {
        if !self.up {
            return;
        }
        match packet {
            Packet::Data {
                connect_id: Some(connect_id),
                data,
            } => self.handle_data(now, connect_id, data),
            Packet::DialResponse {
                dial,
                connect_id,
                error,
            } => {
                self.handle_dial_response(now, dial, connect_id, error);
            }
            Packet::CloseResponse {
                connect_id: Some(connect_id),
                error,
            } => {
                let reason = if error.is_empty() {
                    CloseReason::EndpointClosed
                } else {
                    CloseReason::EndpointFailed(error)
                };
                self.handle_close_response(now, connect_id, reason);
            }
            Packet::CloseDial { dial } => {
                if let Some(id) = self.dials.remove(&dial) {
                    self.fail_dial(id, DialError::ClosedByAgent);
                }
            }
            Packet::WindowUpdate {
                connect_id: Some(connect_id),
                bytes,
            } => {
                let received = self.mux.receive_credit(connect_id, bytes);
                self.handle_received(now, received);
            }
            Packet::Drain => {
                if !self.draining {
                    self.draining = true;
                    self.events.push_back(LinkEvent::Draining);
                }
            }
            // An id of zero names nothing; the others are no packets of an agent.
            Packet::Data {
                connect_id: None, ..
            }
            | Packet::CloseResponse {
                connect_id: None, ..
            }
            | Packet::WindowUpdate {
                connect_id: None, ..
            }
            | Packet::DialRequest { .. }
            | Packet::CloseRequest { .. } => {}
        }
    }

    fn handle_data(&mut self, now: Instant, connect_id: ConnectId, data: Bytes) {
        match self.mux.receive(now, connect_id, data) {
            Received::Unknown => self.close_stranger(connect_id),
            received @ (Received::Accepted | Received::Violation(_)) => {
                self.handle_received(now, received)
            }
        }
    }

    /// Asks the agent to close a connection that this link does not know; once, however often it is named.
    fn close_stranger(&mut self, connect_id: ConnectId) {
        let reply = Packet::CloseRequest {
            connect_id: Some(connect_id),
        };
        if !self.strangers.contains(&connect_id) && self.mux.reply_to_unknown(reply) {
            self.strangers.insert(connect_id);
        }
    }

    fn handle_received(&mut self, now: Instant, received: Received) {
        if let Received::Violation(id) = received {
            self.reset(now, id, CloseReason::WindowOverrun);
        }
    }

    fn handle_dial_response(
        &mut self,
        now: Instant,
        dial: DialId,
        connect_id: Option<ConnectId>,
        error: String,
    ) {
        let Some(id) = self.dials.remove(&dial) else {
            if error.is_empty()
                && let Some(connect_id) = connect_id
            {
                self.close_stranger(connect_id);
            }
            self.events
                .push_back(LinkEvent::DialFailed(DialFailure::UnrecognizedResponse));
            return;
        };
        if !error.is_empty() {
            return self.fail_dial(id, DialError::Refused(error));
        }
        match connect_id {
            Some(connect_id) if self.mux.establish(id, connect_id) => {
                self.mux.set_deadline(id, None);
                if let Some(stream) = self.mux.stream_mut(id) {
                    let started = stream.state.started;
                    stream.state.phase = Phase::Open {
                        answer_taken: false,
                    };
                    stream.state.opened = Some(now);
                    self.events.push_back(LinkEvent::DialEnded);
                    self.events.push_back(LinkEvent::Opened {
                        stream: id,
                        connect_id,
                        took: now - started,
                    });
                }
                self.mux.wake(id);
            }
            Some(_) | None => self.fail_dial(id, DialError::InvalidAnswer),
        }
    }

    fn handle_close_response(&mut self, now: Instant, connect_id: ConnectId, reason: CloseReason) {
        let Some(id) = self.mux.by_connect_id(connect_id) else {
            return;
        };
        let asked = self
            .mux
            .stream(id)
            .and_then(|stream| stream.state.asked_to_close.clone());
        let reason = match asked {
            // The frontend asked, and yet is to hear that it did not end well.
            Some(asked) if reason.is_orderly() || !asked.is_orderly() => asked,
            Some(_) | None => reason,
        };
        self.end(now, id, reason);
    }

    /// The agent's stream has ended: every pending dial fails at once, every stream ends after the data that
    /// arrived before.
    pub fn handle_down(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.up, false) {
            return;
        }
        self.dials.clear();
        self.strangers.clear();
        self.mux.shut();
        for id in self.mux.ids() {
            if self
                .mux
                .stream(id)
                .is_some_and(|stream| stream.state.phase.is_dialing())
            {
                self.fail_dial(id, DialError::AgentLost);
            } else {
                self.end(now, id, CloseReason::TunnelLost);
            }
        }
    }

    // ---- from the frontends ----

    /// Starts a dial for a frontend.
    ///
    /// # Errors
    ///
    /// [`DialError::AgentLost`] when the link is down, [`DialError::TooManyStreams`] at its bound.
    pub fn dial(
        &mut self,
        now: Instant,
        protocol: String,
        address: String,
    ) -> Result<StreamId, DialError> {
        if !self.up {
            return Err(DialError::AgentLost);
        }
        let dial = DialId(self.next_dial);
        let state = ServerStream::new(now, dial);
        let Some(id) = self.mux.insert(state) else {
            return Err(DialError::TooManyStreams {
                limit: self.config.mux.max_streams,
            });
        };
        self.next_dial = self.next_dial.wrapping_add(1);
        self.dials.insert(dial, id);
        self.mux
            .set_deadline(id, Some(now + self.config.dial_bound()));
        self.mux.send_control(Packet::DialRequest {
            dial,
            protocol,
            address,
        });
        self.events.push_back(LinkEvent::DialStarted);
        Ok(id)
    }

    /// Bytes from a stream's frontend; ignored unless the stream is open.
    pub fn handle_frontend_data(&mut self, id: StreamId, data: Bytes) {
        if self.is_open(id) {
            self.mux.push(id, data);
        }
    }

    /// Whether a stream's frontend may be read: its dial has succeeded and its queue has room.
    #[must_use]
    pub fn wants_frontend_data(&self, id: StreamId) -> bool {
        self.is_open(id) && self.mux.wants_push(id)
    }

    /// The frontend closes the stream and waits for the close to be confirmed.
    ///
    /// What it sent before is delivered first. A pending dial is given up.
    pub fn handle_frontend_close(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        match stream.state.phase {
            Phase::Dialing(_) => self.cancel_dial(id),
            Phase::Open { .. } => {
                if stream.state.asked_to_close.is_some() {
                    return;
                }
                stream.state.asked_to_close = Some(reason);
                let connect_id = stream.connect_id();
                self.mux.finish(id, Packet::CloseRequest { connect_id });
                self.mux
                    .await_progress(now, id, self.config.mux.close_timeout);
            }
            Phase::Ended(_) => {}
        }
    }

    /// The frontend is gone: nobody will ask for the stream again.
    ///
    /// A pending dial is given up; an open stream is closed towards the agent, after what the frontend sent.
    pub fn handle_frontend_gone(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.handle_frontend_close(now, id, reason);
        self.mux.discard_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        stream.state.attached = false;
        if matches!(stream.state.phase, Phase::Ended(_)) {
            self.mux.remove(id);
        }
    }

    /// What to tell a stream's frontend next; `None` until the link wakes it.
    pub fn poll_stream(&mut self, now: Instant, id: StreamId) -> Option<StreamOutput> {
        let stream = self.mux.stream_mut(id)?;
        match &mut stream.state.phase {
            Phase::Dialing(_) => None,
            Phase::Open { answer_taken } if !*answer_taken => {
                *answer_taken = true;
                stream.connect_id().map(StreamOutput::Dialled)
            }
            Phase::Open { .. } => self.mux.take(now, id).map(StreamOutput::Data),
            Phase::Ended(ended) => {
                if let Some(answer) = ended.untold_answer.take() {
                    return Some(StreamOutput::Dialled(answer));
                }
                if let Some(data) = self.mux.take(now, id) {
                    return Some(StreamOutput::Data(data));
                }
                match self.mux.remove(id)?.phase {
                    Phase::Ended(ended) => Some(ended.output),
                    Phase::Dialing(_) | Phase::Open { .. } => None,
                }
            }
        }
    }

    fn cancel_dial(&mut self, id: StreamId) {
        let Some(state) = self.mux.remove(id) else {
            return;
        };
        let Phase::Dialing(Dialing { dial, sent }) = state.phase else {
            return;
        };
        self.dials.remove(&dial);
        let unsent = |packet: &Packet| matches!(packet, Packet::DialRequest { dial: queued, .. } if *queued == dial);
        if sent || !self.mux.retract_control(unsent) {
            self.mux.send_control(Packet::CloseDial { dial });
        }
        self.events.push_back(LinkEvent::DialEnded);
        self.events
            .push_back(LinkEvent::DialFailed(DialFailure::FrontendClose));
    }

    // ---- towards the agent ----

    /// The next packet for the agent, in the order in which it must leave; call when the transport has room.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Packet> {
        let outgoing = self.mux.poll_transmit(now)?;
        if let Packet::DialRequest { dial, .. } = &outgoing.packet
            && let Some(id) = self.dials.get(dial).copied()
            && let Some(stream) = self.mux.stream_mut(id)
        {
            stream.state.phase = Phase::Dialing(Dialing {
                dial: *dial,
                sent: true,
            });
            self.mux
                .set_deadline(id, Some(now + self.config.dial_bound()));
        }
        if let Packet::CloseRequest {
            connect_id: Some(connect_id),
        } = &outgoing.packet
        {
            self.strangers.remove(connect_id);
        }
        Some(outgoing.packet)
    }

    /// Whether [`Link::poll_transmit`] has something.
    #[must_use]
    pub fn has_transmit(&self) -> bool {
        self.mux.has_transmit()
    }

    /// Whether more may be read from the agent; false while a stream without credit is at its bound.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.mux.wants_read()
    }

    // ---- time, wake-ups, events ----

    /// When [`Link::handle_timeout`] is next due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.mux.poll_timeout()
    }

    /// Acts on every deadline that has passed; harmless when early, late or repeated.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((id, timer)) = self.mux.poll_expired(now) {
            let Some(stream) = self.mux.stream(id) else {
                continue;
            };
            match (timer, &stream.state.phase) {
                (StreamTimer::SlowReader, _) => self.reset(now, id, CloseReason::SlowReader),
                (StreamTimer::Role, Phase::Dialing(Dialing { dial, sent })) => {
                    let (dial, sent) = (*dial, *sent);
                    self.time_out_dial(id, dial, sent);
                }
                (StreamTimer::Role, Phase::Open { .. }) => {
                    self.reset(now, id, CloseReason::CloseTimedOut)
                }
                (StreamTimer::Role, Phase::Ended(_)) => {}
            }
        }
    }

    fn time_out_dial(&mut self, id: StreamId, dial: DialId, sent: bool) {
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
        if self.config.dial_timeout.is_some() {
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

    // ---- ends ----

    fn is_open(&self, id: StreamId) -> bool {
        self.mux
            .stream(id)
            .is_some_and(|stream| matches!(stream.state.phase, Phase::Open { .. }))
    }

    fn fail_dial(&mut self, id: StreamId, error: DialError) {
        self.events.push_back(LinkEvent::DialEnded);
        self.events
            .push_back(LinkEvent::DialFailed(error.failure()));
        self.mux.set_deadline(id, None);
        if let Some(stream) = self.mux.stream_mut(id) {
            stream.state.phase = Phase::dial_failed(error);
            self.mux.wake(id);
        }
    }

    /// Ends one stream whose peer knows nothing of it yet: the agent is told, the frontend too.
    fn reset(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.mux.discard_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        if let Phase::Ended(ended) = &mut stream.state.phase {
            // What arrived before the end is dropped now, so the end is no orderly one any more.
            ended.output = StreamOutput::Closed(reason);
            return self.mux.wake(id);
        }
        let connect_id = stream.connect_id();
        if !stream.send.is_closed() {
            self.mux.send_control(Packet::CloseRequest { connect_id });
        }
        self.end(now, id, reason);
    }

    /// The agent knows the stream no more; the frontend still takes what arrived, then the reason.
    fn end(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.mux.set_deadline(id, None);
        self.mux.close_outgoing(id);
        self.mux.release_connect_id(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        let answer_taken = match stream.state.phase {
            Phase::Open { answer_taken } => answer_taken,
            Phase::Dialing(_) => true,
            Phase::Ended(_) => return,
        };
        let untold_answer = if answer_taken {
            None
        } else {
            stream.connect_id()
        };
        let lived = now - stream.state.opened.unwrap_or(now);
        let attached = stream.state.attached;
        stream.state.phase = Phase::closed(untold_answer, reason.clone());
        self.events.push_back(LinkEvent::Closed {
            stream: id,
            connect_id: stream.connect_id(),
            lived,
            reason,
        });
        if attached {
            self.mux.wake(id);
        } else {
            self.mux.remove(id);
        }
    }
}
