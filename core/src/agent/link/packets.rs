//! What comes from the server.

use std::time::Instant;

use bytes::Bytes;

use super::state::{AgentStream, Phase};
use super::{Link, LinkEvent};
use crate::close::{CloseReason, Initiator};
use crate::ids::{ConnectId, DialId, StreamId};
use crate::mux::Received;
use crate::wire::Packet;

impl Link {
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
            Packet::Drain if self.negotiated.drain => {
                if !self.server_drains {
                    self.server_drains = true;
                    self.events.push_back(LinkEvent::ServerDraining);
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
            self.mux.reply_to_unknown(Packet::dial_failed(dial, error));
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

    pub(super) fn reply_unknown_close(&mut self, connect_id: Option<ConnectId>) {
        let error = "Unknown connectID".to_owned();
        self.mux
            .reply_to_unknown(Packet::CloseResponse { connect_id, error });
    }

    pub(super) fn await_progress(&mut self, now: Instant, id: StreamId) {
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
    pub(super) fn end_both(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
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
}
