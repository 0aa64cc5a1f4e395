//! The agent's end of a tunnel: dials, endpoint connections, and the packets they become.

mod config;
mod event;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

pub use config::LinkConfig;
pub use event::{EndpointOutput, LinkEvent};
use state::{AgentStream, Phase};

use crate::close::{CloseReason, Initiator};
use crate::ids::{ConnectId, DialId, StreamId};
use crate::mux::{Ended, Mux, QueuedBytes, Received, StreamTimer};
use crate::negotiated::Negotiated;
use crate::session::{Session, SessionError, SessionTimeout};
use crate::wire::Packet;

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

    // ---- from the server ----

    /// A packet from the server.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {
        if !self.session.is_up() {
            return;
        }
        match self.session.take(now, &packet) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                self.events.push_back(LinkEvent::Broken(error));
                return self.end_all(now, CloseReason::TunnelLost);
            }
        }
        match packet {
            Packet::Data {
                connect_id: Some(connect_id),
                data,
            } => self.handle_data(now, connect_id, data),
            Packet::DialRequest {
                dial,
                protocol,
                address,
            } => self.handle_dial(now, dial, protocol, address),
            Packet::CloseRequest { connect_id } => self.handle_close(now, connect_id),
            Packet::CloseDial { dial } => self.handle_close_dial(dial),
            Packet::WindowUpdate {
                connect_id: Some(connect_id),
                bytes,
            } => {
                if let Received::Violation(id) = self.mux.receive_credit(connect_id, bytes) {
                    self.reset(now, id, CloseReason::WindowOverrun(Initiator::Agent));
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
                    self.mux.close_outgoing(id);
                    let reason = CloseReason::from_reset(Initiator::Server, code, text);
                    self.cut(now, id, reason);
                }
            }
            // An id of zero names nothing; the others are no packets of a server, or were not agreed on.
            Packet::Data {
                connect_id: None, ..
            }
            | Packet::WindowUpdate {
                connect_id: None, ..
            }
            | Packet::CloseWrite { connect_id: None }
            | Packet::Reset { .. }
            | Packet::Ack { .. }
            | Packet::DialResponse { .. }
            | Packet::CloseResponse { .. }
            | Packet::Drain => {}
        }
    }

    fn handle_dial(&mut self, now: Instant, dial: DialId, protocol: String, address: String) {
        // Counted on arrival, so that failed dials leave gaps, as in the reference.
        let connect_id = ConnectId::new(self.next_connect_id);
        self.next_connect_id = self.next_connect_id.checked_add(1).unwrap_or(1);
        let refusal = if self.dials.contains_key(&dial) {
            Some("dial id is already in use".to_owned())
        } else {
            match connect_id
                .and_then(|connect_id| self.mux.insert(AgentStream::new(now, dial, connect_id)))
            {
                Some(stream) => {
                    self.dials.insert(dial, stream);
                    self.events.push_back(LinkEvent::Dial {
                        stream,
                        protocol,
                        address,
                    });
                    None
                }
                None => Some(format!(
                    "agent is at its limit of {} streams on this tunnel",
                    self.config.mux.max_streams
                )),
            }
        };
        if let Some(error) = refusal {
            self.mux.reply_to_unknown(Packet::DialResponse {
                dial,
                connect_id: None,
                error,
            });
        }
    }

    fn handle_data(&mut self, now: Instant, connect_id: ConnectId, data: Bytes) {
        if let Some(id) = self.mux.by_connect_id(connect_id)
            && let Some(stream) = self.mux.stream(id)
            && stream.state.frontend_ended
        {
            return self.reset(now, id, CloseReason::DataBehindEnd(Initiator::Agent));
        }
        match self.mux.receive(now, connect_id, data) {
            Received::Accepted => {}
            Received::Unknown => {
                let error = "unrecognized connectID".to_owned();
                self.mux.reply_to_unknown(Packet::CloseResponse {
                    connect_id: Some(connect_id),
                    error,
                });
            }
            Received::Violation(id) => {
                self.reset(now, id, CloseReason::WindowOverrun(Initiator::Agent))
            }
        }
    }

    fn handle_close(&mut self, now: Instant, connect_id: Option<ConnectId>) {
        let Some(id) = connect_id.and_then(|connect_id| self.mux.by_connect_id(connect_id)) else {
            return self.reply_unknown_close(connect_id);
        };
        if let Some(stream) = self.mux.stream_mut(id) {
            stream.state.close_requests = stream.state.close_requests.saturating_add(1);
        }
        self.close(now, id, CloseReason::FrontendClosed, String::new());
        // From now on nobody need take what the endpoint sent, so this end is not waited for without limit.
        if !self.mux.has_deadline(id) {
            self.await_progress(now, id);
        }
    }

    fn reply_unknown_close(&mut self, connect_id: Option<ConnectId>) {
        let error = "Unknown connectID".to_owned();
        self.mux
            .reply_to_unknown(Packet::CloseResponse { connect_id, error });
    }

    fn await_progress(&mut self, now: Instant, id: StreamId) {
        self.mux
            .await_progress(now, id, self.config.mux.close_timeout);
    }

    fn handle_close_dial(&mut self, dial: DialId) {
        if let Some(id) = self.dials.remove(&dial) {
            self.mux.remove(id);
            self.events
                .push_back(LinkEvent::DialAbandoned { stream: id });
        }
    }

    /// The frontend sends no more; the endpoint hears of it behind all that was sent.
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
        if !matches!(stream.state.phase, Phase::Open) {
            return;
        }
        stream.state.frontend_ended = true;
        if stream.state.endpoint_ended {
            self.end_both(now, id, CloseReason::FrontendClosed);
        }
        self.mux.wake(id);
    }

    /// Both directions have ended, this side's with a CLOSE_WRITE that has left or is about to.
    fn end_both(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.begin_closing(now, id, reason);
        self.mux.seal(id);
        if self
            .mux
            .stream(id)
            .is_some_and(|stream| stream.send.is_closed())
        {
            self.mux.release_connect_id(id);
            self.await_progress(now, id);
        }
        self.remove_if_done(id);
    }

    // ---- the transport ----

    /// The stream to the server has ended, or the tunnel is given up: dials are given up and endpoint connections
    /// cut.
    pub fn handle_down(&mut self, now: Instant) {
        self.end_all(now, CloseReason::TunnelLost);
    }

    /// As [`Link::handle_down`], with the reason that the streams end with.
    pub fn handle_ended(&mut self, now: Instant, reason: CloseReason) {
        self.end_all(now, reason);
    }

    /// The transport was lost. With `resume/1` the link waits for another one for
    /// [`SessionConfig::timeout`](crate::SessionConfig::timeout), while endpoints stay connected; otherwise it is
    /// down.
    pub fn handle_lost(&mut self, now: Instant) {
        if self.session.suspend(now) {
            self.events.push_back(LinkEvent::Suspended);
        } else {
            self.end_all(now, CloseReason::TunnelLost);
        }
    }

    /// The tunnel is established on its first transport: the peer is watched from now on.
    pub fn handle_established(&mut self, now: Instant) {
        self.session.heard_at_first(now);
    }

    /// Another transport has come, over which the server says that it took `received` packets.
    ///
    /// # Errors
    ///
    /// When the session has ended, or the count cannot be; the link is as it was.
    pub fn handle_resumed(&mut self, now: Instant, received: u64) -> Result<(), SessionError> {
        self.session.resume(now, received)?;
        self.events.push_back(LinkEvent::Resumed);
        Ok(())
    }

    /// How many packets this side took: what the server is told with a resumption.
    #[must_use]
    pub fn received_packets(&self) -> u64 {
        self.session.received()
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

    /// Whether the link has ended: nothing it does reaches the server any more.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.session.is_down()
    }

    /// Bytes that are kept until the server acknowledges them.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.session.retained_bytes()
    }

    fn end_all(&mut self, now: Instant, reason: CloseReason) {
        if self.session.is_down() {
            return;
        }
        self.session.end();
        for id in std::mem::take(&mut self.dials).into_values() {
            self.mux.remove(id);
            self.events
                .push_back(LinkEvent::DialAbandoned { stream: id });
        }
        self.mux.shut();
        for id in self.mux.ids() {
            if self
                .mux
                .stream(id)
                .is_some_and(|stream| matches!(stream.state.phase, Phase::Open))
            {
                self.cut(now, id, reason.clone());
            } else if !self.mux.has_deadline(id) {
                // A stream that was closed in order before still writes out what it was given.
                self.await_progress(now, id);
            }
            self.remove_if_done(id);
        }
        self.events.push_back(LinkEvent::Down);
    }

    /// Announces that this agent wants no new dials where another can serve them.
    pub fn drain(&mut self) {
        if !self.session.is_down() {
            self.mux.send_control(Packet::Drain);
        }
    }

    // ---- from the endpoints ----

    /// What came of a [`LinkEvent::Dial`]; an error is sent to the server in these words.
    ///
    /// `false` when nobody wants the connection any more: close it.
    pub fn handle_dialled(
        &mut self,
        now: Instant,
        id: StreamId,
        dialled: Result<(), String>,
    ) -> bool {
        let Some(stream) = self.mux.stream_mut(id) else {
            return false;
        };
        let Phase::Dialing { dial, connect_id } = stream.state.phase else {
            return false;
        };
        self.dials.remove(&dial);
        match dialled {
            Ok(()) if self.mux.establish(id, connect_id) => {
                if let Some(stream) = self.mux.stream_mut(id) {
                    stream.state.phase = Phase::Open;
                    stream.state.opened = now;
                }
                let connect_id = Some(connect_id);
                self.mux.send_control(Packet::DialResponse {
                    dial,
                    connect_id,
                    error: String::new(),
                });
                self.events.push_back(LinkEvent::Opened {
                    stream: id,
                    connect_id,
                });
                true
            }
            Ok(()) => {
                self.refuse_dial(
                    id,
                    dial,
                    format!("connection id {} is already in use", connect_id.value()),
                );
                false
            }
            Err(error) => {
                self.refuse_dial(id, dial, error);
                false
            }
        }
    }

    fn refuse_dial(&mut self, id: StreamId, dial: DialId, error: String) {
        self.mux.remove(id);
        let error = if error.is_empty() {
            "dial failed".to_owned()
        } else {
            error
        };
        self.mux.send_control(Packet::DialResponse {
            dial,
            connect_id: None,
            error,
        });
    }

    /// Bytes read from an endpoint.
    pub fn handle_endpoint_data(&mut self, id: StreamId, data: Bytes) {
        self.mux.push(id, data);
    }

    /// Whether an endpoint may be read: its stream is open and its queue has room.
    #[must_use]
    pub fn wants_endpoint_data(&self, id: StreamId) -> bool {
        self.mux.wants_push(id)
    }

    /// The endpoint ended its side: `Ok` on EOF, an error in words when reading failed.
    ///
    /// Everything read before is delivered before the close. What the frontend has sent already is still
    /// written to the endpoint.
    /// With `half-close/1` an EOF ends this direction alone, unless writing has failed before.
    pub fn handle_endpoint_end(&mut self, now: Instant, id: StreamId, end: Result<(), String>) {
        // A reset is told once only: to whom it met while writing, it looks like an end to who reads.
        let write_failed = self
            .mux
            .stream_mut(id)
            .and_then(|stream| stream.state.write_failed.take());
        let end = end.and(write_failed.map_or(Ok(()), Err));
        if end.is_ok() && self.negotiated.half_close && self.end_writing(now, id) {
            return;
        }
        let (reason, error) = match end {
            Ok(()) => (CloseReason::EndpointClosed, String::new()),
            Err(error) => (CloseReason::EndpointFailed(error.clone()), error),
        };
        self.close(now, id, reason, error);
    }

    /// An endpoint's EOF on an open stream; `false` for any other stream.
    fn end_writing(&mut self, now: Instant, id: StreamId) -> bool {
        let Some(stream) = self.mux.stream_mut(id) else {
            return false;
        };
        if !matches!(stream.state.phase, Phase::Open) {
            return false;
        }
        let connect_id = stream.connect_id();
        stream.state.endpoint_ended = true;
        let both = stream.state.frontend_ended;
        self.mux
            .finish_writing(id, Packet::CloseWrite { connect_id });
        if both {
            self.end_both(now, id, CloseReason::EndpointClosed);
            self.mux.wake(id);
        }
        true
    }

    /// Writing to the endpoint failed: what still comes for it is dropped, and no more is asked for.
    ///
    /// The stream goes on until the endpoint's own side ends, since what it sent before may still be read; then, or
    /// now if that has ended, the stream ends with this error.
    pub fn handle_endpoint_write_failed(&mut self, now: Instant, id: StreamId, error: String) {
        self.mux.refuse_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        if stream.state.endpoint_ended && matches!(stream.state.phase, Phase::Open) {
            self.close(now, id, CloseReason::EndpointFailed(error.clone()), error);
        } else {
            stream.state.write_failed.get_or_insert(error);
        }
    }

    /// What an endpoint's task is to do next; `None` until the link wakes it.
    ///
    /// After `Close` and `Abort` the task does as told and then reports with [`Link::handle_endpoint_gone`].
    pub fn poll_endpoint(&mut self, now: Instant, id: StreamId) -> Option<EndpointOutput> {
        if self.is_aborted(id) {
            return Some(EndpointOutput::Abort);
        }
        if let Some(data) = self.mux.take(now, id) {
            return Some(EndpointOutput::Write(data));
        }
        let state = &mut self.mux.stream_mut(id)?.state;
        match state.phase {
            Phase::Closing => Some(EndpointOutput::Close),
            Phase::Open if state.frontend_ended => {
                let told = std::mem::replace(&mut state.shutdown_told, true);
                (!told).then_some(EndpointOutput::Shutdown)
            }
            Phase::Open | Phase::Dialing { .. } => None,
        }
    }

    /// Whether an endpoint's task is to cut its connection now, even in the middle of a write.
    #[must_use]
    pub fn is_aborted(&self, id: StreamId) -> bool {
        self.mux.stream(id).is_none_or(|stream| stream.state.cut)
    }

    /// The endpoint's task has let go of its connection: as it was told to, or on its own, which ends the stream
    /// with an error.
    pub fn handle_endpoint_gone(&mut self, now: Instant, id: StreamId) {
        self.mux.discard_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        stream.state.endpoint_done = true;
        match stream.state.phase {
            Phase::Dialing { dial, .. } => {
                self.dials.remove(&dial);
                self.refuse_dial(id, dial, "agent gave the dial up".to_owned());
            }
            Phase::Open => self.close(
                now,
                id,
                CloseReason::AgentGaveUp,
                CloseReason::AgentGaveUp.to_string(),
            ),
            Phase::Closing => {}
        }
        self.remove_if_done(id);
    }

    // ---- towards the server ----

    /// The next packet for the server, in the order in which it must leave; call when the transport has room.
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
        if let Some(Ended::Stream(id)) = outgoing.ended {
            // The last word is out: the server knows the id no more.
            self.mux.release_connect_id(id);
            self.answer_late_closes(id, &outgoing.packet);
            // The write-out of what the frontend sent is bounded from here.
            self.await_progress(now, id);
            self.remove_if_done(id);
        }
        Some(outgoing.packet)
    }

    /// Answers the CLOSE_REQs of a stream that its last word has not answered.
    fn answer_late_closes(&mut self, id: StreamId, last: &Packet) {
        let Some(stream) = self.mux.stream(id) else {
            return;
        };
        let (connect_id, requests) = (stream.connect_id(), stream.state.close_requests);
        if matches!(last, Packet::CloseWrite { .. }) {
            // It came when both directions had ended already: there is nothing left but to agree.
            if requests > 0 {
                let error = String::new();
                self.mux
                    .reply_to_unknown(Packet::CloseResponse { connect_id, error });
            }
        } else if requests > 1 {
            // A repeated one is about an unknown id, but says so only behind the answer to the first.
            self.reply_unknown_close(connect_id);
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

    /// Whether more may be read from the server; false while a stream without credit is at its bound.
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

    // ---- ends ----

    /// Ends a stream in order: CLOSE_RSP goes behind everything read, the endpoint gets everything received.
    ///
    /// A reader that pauses may let CLOSE_RSP wait as long as it is there: the server says when it is not.
    fn close(&mut self, now: Instant, id: StreamId, reason: CloseReason, error: String) {
        if let connect_id @ Some(_) = self.begin_closing(now, id, reason) {
            self.mux
                .finish(id, Packet::CloseResponse { connect_id, error });
            self.mux.wake(id);
        }
    }

    /// Ends a stream at once: queues are dropped, the server is told, the endpoint sees a reset.
    fn reset(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        let Some(stream) = self.mux.stream(id) else {
            return;
        };
        let connect_id = stream.connect_id();
        if !stream.send.is_closed() {
            self.mux.close_outgoing(id);
            let text = reason.to_string();
            self.mux.send_control(if self.negotiated.reset {
                Packet::Reset {
                    connect_id,
                    code: reason.code(),
                    text,
                }
            } else {
                Packet::CloseResponse {
                    connect_id,
                    error: text,
                }
            });
        }
        self.cut(now, id, reason);
    }

    /// Nothing more goes to or comes from the server for this stream.
    fn cut(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.mux.set_deadline(id, None);
        self.mux.release_connect_id(id);
        self.mux.discard_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        stream.state.cut = true;
        self.begin_closing(now, id, reason);
        self.mux.wake(id);
        self.remove_if_done(id);
    }

    /// An open stream is closing from now on, which is told; its connection id, `None` for any other stream.
    fn begin_closing(
        &mut self,
        now: Instant,
        id: StreamId,
        reason: CloseReason,
    ) -> Option<ConnectId> {
        let stream = self.mux.stream_mut(id)?;
        if !matches!(stream.state.phase, Phase::Open) {
            return None;
        }
        stream.state.phase = Phase::Closing;
        let connect_id = stream.connect_id();
        let lived = now - stream.state.opened;
        self.events.push_back(LinkEvent::Closed {
            stream: id,
            connect_id,
            lived,
            reason,
        });
        connect_id
    }

    fn remove_if_done(&mut self, id: StreamId) {
        if self
            .mux
            .stream(id)
            .is_some_and(|stream| stream.state.endpoint_done && stream.send.is_closed())
        {
            self.mux.remove(id);
        }
    }
}
