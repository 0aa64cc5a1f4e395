//! What comes from the agent.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::ends::stream_end;
use super::state::Phase;
use super::{Link, LinkEvent};
use crate::close::{CloseReason, Initiator};
use crate::ids::{ConnectId, DialId};
use crate::mux::Received;
use crate::server::dial::{DialError, DialFailure};
use crate::wire::Packet;

impl Link {
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
                address,
            } => {
                let address = address.filter(|_| self.negotiated.dialled_address);
                self.handle_dial_response(now, dial, connect_id, error, address);
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
        address: Option<SocketAddr>,
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
        if let Some(stream) = self.mux.stream(id) {
            let took = now.saturating_duration_since(stream.state.started);
            self.history.answered(took, !error.is_empty());
        }
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
                    stream.state.dialled_address = address.map(Box::new);
                    self.events.push_back(LinkEvent::DialEnded);
                    self.events.push_back(LinkEvent::Opened {
                        stream: id,
                        connect_id,
                        address,
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
}
