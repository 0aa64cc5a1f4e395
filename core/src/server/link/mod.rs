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
use crate::close::{CloseReason, Initiator};
use crate::ids::{ConnectId, DialId, StreamId};
use crate::mux::{Ended as Sent, Mux, QueuedBytes, Received, StreamTimer};
use crate::negotiated::Negotiated;
use crate::session::{Session, SessionError, SessionTimeout};
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
    negotiated: Negotiated,
    session: Session,
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
            events: VecDeque::new(),
        }
    }

    /// Whether the streams have credit of their own (`flow-control/1`): none can then stop the tunnel from being
    /// read.
    #[must_use]
    pub const fn has_flow_control(&self) -> bool {
        self.negotiated.peer_window_bytes.is_some()
    }

    // ---- from the agent ----

    /// A packet from the agent.
    ///
    /// Nothing in it is trusted: what names no stream of this link is answered or ignored as the protocol
    /// says, and a broken credit rule resets the one stream.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {
        if !self.session.is_up() {
            return;
        }
        let for_streams = match self.session.take(now, &packet) {
            Ok(for_streams) => for_streams,
            Err(error) => {
                self.events.push_back(LinkEvent::Broken(error));
                return self.end_all(now, CloseReason::TunnelLost);
            }
        };
        if let Some(resumption) = self.session.take_confirmation() {
            self.events
                .push_back(LinkEvent::ResumptionConfirmed { resumption });
        }
        if !for_streams {
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
            Packet::CloseWrite {
                connect_id: Some(connect_id),
            } => self.handle_close_write(now, connect_id),
            Packet::Reset {
                connect_id: Some(connect_id),
                code,
                text,
            } if self.negotiated.reset => {
                if let Some(id) = self.mux.by_connect_id(connect_id) {
                    self.end(
                        now,
                        id,
                        CloseReason::from_reset(Initiator::Agent, code, text),
                    );
                }
            }
            // An id of zero names nothing; the others are no packets of an agent, or were not agreed on.
            Packet::Data {
                connect_id: None, ..
            }
            | Packet::CloseResponse {
                connect_id: None, ..
            }
            | Packet::WindowUpdate {
                connect_id: None, ..
            }
            | Packet::CloseWrite { connect_id: None }
            | Packet::Reset { .. }
            | Packet::Ack { .. }
            | Packet::DialRequest { .. }
            | Packet::CloseRequest { .. } => {}
        }
    }

    fn handle_data(&mut self, now: Instant, connect_id: ConnectId, data: Bytes) {
        if let Some(id) = self.mux.by_connect_id(connect_id)
            && let Some(stream) = self.mux.stream(id)
            && stream.state.endpoint_ended
        {
            return self.reset(now, id, CloseReason::DataBehindEnd(Initiator::Server));
        }
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
            self.reset(now, id, CloseReason::WindowOverrun(Initiator::Server));
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
        self.end(now, id, stream_end(asked, reason));
    }

    /// The endpoint sends no more: where the frontend can be told so, the other direction goes on.
    fn handle_close_write(&mut self, now: Instant, connect_id: ConnectId) {
        if !self.negotiated.half_close {
            return;
        }
        let Some(id) = self.mux.by_connect_id(connect_id) else {
            return;
        };
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        if std::mem::replace(&mut stream.state.endpoint_ended, true) {
            return;
        }
        let asked = stream.state.asked_to_close.clone();
        if stream.state.end_sent {
            return self.end(now, id, stream_end(asked, CloseReason::EndpointClosed));
        }
        if asked.is_some() {
            // The answer to the CLOSE_REQ is still to come.
            return;
        }
        if stream.state.half_closes {
            return self.mux.wake(id);
        }
        // As the reference has it: the endpoint's end is the end of the stream, and what the frontend sent is
        // worth nothing any more.
        let connect_id = stream.connect_id();
        self.mux.send_control(Packet::CloseRequest { connect_id });
        self.end(now, id, CloseReason::EndpointClosed);
    }

    // ---- the transport ----

    /// The agent's stream has ended in order, or the tunnel is given up: every pending dial fails at once, every
    /// stream ends after the data that arrived before.
    pub fn handle_down(&mut self, now: Instant) {
        self.end_all(now, CloseReason::TunnelLost);
    }

    /// As [`Link::handle_down`], with the reason that the streams end with.
    pub fn handle_ended(&mut self, now: Instant, reason: CloseReason) {
        self.end_all(now, reason);
    }

    /// The transport was lost. With `resume/1`, and something to keep, the link waits for another one for
    /// [`SessionConfig::timeout`](crate::SessionConfig::timeout), and its streams do too; otherwise the link is
    /// down.
    pub fn handle_lost(&mut self, now: Instant) {
        let worthless = self.mux.is_empty() && self.session.retained_bytes() == 0;
        if worthless || !self.session.suspend(now) {
            self.end_all(now, CloseReason::TunnelLost);
        } else {
            self.events.push_back(LinkEvent::Suspended);
        }
    }

    /// The tunnel is established on its first transport: the peer is watched from now on.
    pub fn handle_established(&mut self, now: Instant) {
        self.session.heard_at_first(now);
    }

    /// Another transport has come, over which the agent says that it took `received` packets. The one before, if
    /// it still stands, is the driver's to end; nothing that comes of it may reach the link any more.
    ///
    /// Returns how many packets this side took, which the agent is to be told.
    ///
    /// # Errors
    ///
    /// When the session has ended, or the count cannot be; the link is as it was.
    pub fn handle_resumed(&mut self, now: Instant, received: u64) -> Result<u64, SessionError> {
        self.session.resume(now, received)?;
        self.events.push_back(LinkEvent::Resumed);
        Ok(self.session.received())
    }

    /// Whether the link has a transport. Where it ceases to without [`Link::handle_lost`] or [`Link::handle_down`],
    /// the driver is to end the one it has.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.session.is_up()
    }

    /// Whether the link has no transport and waits for another.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.session.is_suspended()
    }

    /// Whether the link has ended: nothing it does reaches the agent any more.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.session.is_down()
    }

    /// Bytes that are kept until the agent acknowledges them.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.session.retained_bytes()
    }

    fn end_all(&mut self, now: Instant, reason: CloseReason) {
        if self.session.is_down() {
            return;
        }
        self.session.end();
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
                self.end(now, id, reason.clone());
            }
        }
        self.events.push_back(LinkEvent::Down);
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
        if self.session.is_down() {
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
                let connect_id = stream.connect_id();
                let end = if self.negotiated.reset && !reason.is_orderly() {
                    reset(connect_id, &reason)
                } else {
                    Packet::CloseRequest { connect_id }
                };
                stream.state.asked_to_close = Some(reason);
                self.mux.finish(id, end);
                self.mux
                    .await_progress(now, id, self.config.mux.close_timeout);
            }
            Phase::Ended(_) => {}
        }
    }

    /// The frontend can end one direction and go on with the other; to be said before its dial is answered.
    ///
    /// Where the agent cannot, or this is not said, the end of either direction ends the stream.
    pub fn allow_half_close(&mut self, id: StreamId) {
        let agreed = self.negotiated.half_close;
        if let Some(stream) = self.mux.stream_mut(id) {
            stream.state.half_closes = agreed;
        }
    }

    /// The frontend sends no more; what it sent is delivered. `true` when it may go on reading; else the stream
    /// is closed as by [`Link::handle_frontend_close`].
    pub fn handle_frontend_end(&mut self, now: Instant, id: StreamId) -> bool {
        let Some(stream) = self.mux.stream(id) else {
            return false;
        };
        if !(stream.state.half_closes && matches!(stream.state.phase, Phase::Open { .. })) {
            self.handle_frontend_close(now, id, CloseReason::FrontendClosed);
            return false;
        }
        let connect_id = stream.connect_id();
        self.mux
            .finish_writing(id, Packet::CloseWrite { connect_id });
        true
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
            Phase::Open { .. } => {
                if let Some(data) = self.mux.take(now, id) {
                    return Some(StreamOutput::Data(data));
                }
                let stream = self.mux.stream_mut(id)?;
                let state = &mut stream.state;
                let ended = state.endpoint_ended && state.half_closes;
                (ended && !std::mem::replace(&mut state.end_told, true))
                    .then_some(StreamOutput::EndOfData)
            }
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
        let others = self.streams_wait();
        if let Some(packet) = self.session.next(now, others) {
            return Some(packet);
        }
        if !self.session.may_send() {
            return None;
        }
        let Some(outgoing) = self.mux.poll_transmit(now, self.session.may_send_data()) else {
            return self.session.next(now, false);
        };
        self.session.sent(now, &outgoing.packet);
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
        if let Some(Sent::Writing(id) | Sent::Stream(id)) = outgoing.ended {
            self.end_if_over(now, id, &outgoing.packet);
        }
        Some(outgoing.packet)
    }

    /// What left may have been the last word: a reset, which is not answered, or the second of two ends.
    fn end_if_over(&mut self, now: Instant, id: StreamId, sent: &Packet) {
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        stream.state.end_sent |= matches!(sent, Packet::CloseWrite { .. });
        let reason = match sent {
            Packet::Reset { .. } => stream.state.asked_to_close.clone(),
            Packet::CloseWrite { .. } if stream.state.endpoint_ended => {
                Some(CloseReason::FrontendClosed)
            }
            Packet::CloseWrite { .. }
            | Packet::CloseRequest { .. }
            | Packet::DialRequest { .. }
            | Packet::DialResponse { .. }
            | Packet::CloseResponse { .. }
            | Packet::Data { .. }
            | Packet::CloseDial { .. }
            | Packet::Drain
            | Packet::WindowUpdate { .. }
            | Packet::Ack { .. } => None,
        };
        if let Some(reason) = reason {
            self.end(now, id, reason);
        }
    }

    /// Whether [`Link::poll_transmit`] has something.
    #[must_use]
    pub fn has_transmit(&self) -> bool {
        self.session.has_next() || self.streams_wait()
    }

    /// Whether the streams have something that may be sent.
    fn streams_wait(&self) -> bool {
        self.session.may_send() && self.mux.has_transmit(self.session.may_send_data())
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
        if self.negotiated.reset {
            self.mux.send_control(reset(connect_id, &reason));
        } else if !stream.send.is_closed() {
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

/// The end that counts: what the frontend asked for, unless the agent says that it did not end well.
fn stream_end(asked: Option<CloseReason>, reason: CloseReason) -> CloseReason {
    match asked {
        Some(asked) if reason.is_orderly() || !asked.is_orderly() => asked,
        Some(_) | None => reason,
    }
}

fn reset(connect_id: Option<ConnectId>, reason: &CloseReason) -> Packet {
    Packet::Reset {
        connect_id,
        code: reason.code(),
        text: reason.to_string(),
    }
}
