//! What leaves for the agent.

use std::time::Instant;

use super::Link;
use super::state::{Dialing, Phase};
use crate::close::CloseReason;
use crate::ids::StreamId;
use crate::mux::Ended as Sent;
use crate::wire::Packet;

impl Link {
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
}
