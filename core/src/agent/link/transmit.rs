//! What leaves for the server.

use std::time::Instant;

use super::Link;
use crate::ids::StreamId;
use crate::mux::Ended;
use crate::wire::Packet;

impl Link {
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
}
