//! What frontends do, and what they are told.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::ends::reset;
use super::state::{Dialing, Phase, ServerStream};
use super::{Link, LinkEvent};
use crate::close::CloseReason;
use crate::ids::{DialId, StreamId};
use crate::server::dial::{DialError, DialFailure, StreamOutput};
use crate::wire::Packet;

impl Link {
    /// Starts a dial for a frontend.
    ///
    /// # Errors
    ///
    /// [`DialError::AgentLost`] when the link is down, [`DialError::TooManyStreams`] and [`DialError::TooManyDials`] at
    /// its bounds.
    pub fn dial(
        &mut self,
        now: Instant,
        protocol: String,
        address: String,
    ) -> Result<StreamId, DialError> {
        if self.session.is_down() {
            return Err(DialError::AgentLost);
        }
        let limit = self.config.max_pending_dials;
        if self.dials.len() >= limit {
            return Err(DialError::TooManyDials { limit });
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

    /// The server's name for the dial, which the agent knows; `None` once it is answered.
    #[must_use]
    pub fn dial_id(&self, id: StreamId) -> Option<DialId> {
        match &self.mux.stream(id)?.state.phase {
            Phase::Dialing(dialing) => Some(dialing.dial),
            Phase::Open { .. } | Phase::Ended(_) => None,
        }
    }

    /// Which address the agent connected to, from its good answer until the stream is gone; `None` before that, and where
    /// the agent did not tell (`dialled-address/1`).
    ///
    /// The agent's word: it says where an honest agent went, and proves nothing about any other.
    #[must_use]
    pub fn dialled_address(&self, id: StreamId) -> Option<SocketAddr> {
        self.mux
            .stream(id)?
            .state
            .dialled_address
            .as_deref()
            .copied()
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

    /// Another agent has answered the dial: this one is given up, which is no failure. Nobody will ask for it again.
    pub fn handle_dial_overtaken(&mut self, now: Instant, id: StreamId) {
        let dialling = self
            .mux
            .stream(id)
            .is_some_and(|stream| stream.state.phase.is_dialing());
        if dialling {
            self.give_up_dial(id);
        } else {
            // Its answer came at the same time.
            self.handle_frontend_gone(now, id, CloseReason::FrontendClosed);
        }
    }

    /// A changed policy denies the stream: it ends at once on both sides, and nothing that waits is delivered any more.
    ///
    /// The frontend is told why. A pending dial fails.
    pub fn handle_denied(&mut self, now: Instant, id: StreamId, reason: &str) {
        let Some(stream) = self.mux.stream(id) else {
            return;
        };
        match &stream.state.phase {
            Phase::Dialing(dialing) => {
                let dial = dialing.dial;
                self.dials.remove(&dial);
                self.mux.send_control(Packet::CloseDial { dial });
                let reason = reason.to_owned();
                self.fail_dial(id, DialError::Denied { reason });
            }
            Phase::Ended(ended) if !matches!(ended.output, StreamOutput::Closed(_)) => {}
            Phase::Open { .. } | Phase::Ended(_) => {
                self.reset(now, id, CloseReason::Denied(reason.to_owned()));
            }
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
        if self.give_up_dial(id) {
            self.events
                .push_back(LinkEvent::DialFailed(DialFailure::FrontendClose));
        }
    }

    /// `false` when there is no such dial.
    fn give_up_dial(&mut self, id: StreamId) -> bool {
        let Some(state) = self.mux.remove(id) else {
            return false;
        };
        let Phase::Dialing(Dialing { dial, sent }) = state.phase else {
            return false;
        };
        self.dials.remove(&dial);
        let unsent = |packet: &Packet| matches!(packet, Packet::DialRequest { dial: queued, .. } if *queued == dial);
        if sent || !self.mux.retract_control(unsent) {
            self.mux.send_control(Packet::CloseDial { dial });
        }
        self.events.push_back(LinkEvent::DialEnded);
        true
    }
}
