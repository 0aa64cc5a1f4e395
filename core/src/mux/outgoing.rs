//! From the streams' local sources to the tunnel: what is sent next, and how much may wait.

use std::time::Instant;

use bytes::Bytes;

use super::{Ended, Mux, Outgoing, Received};
use crate::ids::{ConnectId, StreamId};
use crate::wire::Packet;

impl<T> Mux<T> {
    /// WINDOW from the peer: credit, or with no bytes, word that it has used up its own.
    pub(crate) fn receive_credit(&mut self, connect_id: ConnectId, bytes: u64) -> Received {
        let Some(id) = self.by_connect_id(connect_id) else {
            return Received::Unknown;
        };
        if bytes == 0 {
            self.handle_blocked(id);
            return Received::Accepted;
        }
        let Some(stream) = self.stream_mut(id) else {
            return Received::Unknown;
        };
        if stream.send.grant(bytes).is_err() {
            return Received::Violation(id);
        }
        self.schedule(id);
        Received::Accepted
    }

    /// A packet that goes before all DATA.
    pub(crate) fn send_control(&mut self, packet: Packet) {
        self.control.push_back(packet);
    }

    /// A reply about an id that this link does not know; dropped, with `false`, when too many wait already.
    pub(crate) fn reply_to_unknown(&mut self, packet: Packet) -> bool {
        let room = self.replies.len() < self.config.max_unknown_replies;
        if room {
            self.replies.push_back(packet);
        }
        room
    }

    /// Takes a control packet back that was not yet handed to the transport; `true` when it was there.
    pub(crate) fn retract_control(&mut self, matches: impl Fn(&Packet) -> bool) -> bool {
        let before = self.control.len();
        self.control.retain(|packet| !matches(packet));
        before != self.control.len()
    }

    /// Bytes from a stream's local source.
    pub(crate) fn push(&mut self, id: StreamId, data: Bytes) {
        let bound = self.send_bound();
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let length = data.len();
        if !stream.send.push(data) {
            return;
        }
        stream.send.source_paused |= stream.send.queued_bytes() >= bound;
        self.memory.grow(length);
        self.schedule(id);
    }

    /// How much of a stream may wait before its source is paused: little while memory is short, so that every
    /// stream still moves, piece by piece.
    fn send_bound(&self) -> usize {
        if self.memory.is_pressed() {
            1
        } else {
            self.config.send_buffer_bytes
        }
    }

    /// Whether a stream's local source may be read.
    pub(crate) fn wants_push(&self, id: StreamId) -> bool {
        self.stream(id)
            .is_some_and(|stream| stream.send.is_open() && !stream.send.source_paused)
    }

    /// Ends a stream's bytes with `end`, after all that is queued; another end of the stream may follow.
    pub(crate) fn finish_writing(&mut self, id: StreamId, end: Packet) {
        if let Some(stream) = self.stream_mut(id) {
            stream.send.finish_writing(end);
            self.schedule(id);
        }
    }

    /// Ends the outgoing half with `end`, after all that is queued.
    pub(crate) fn finish(&mut self, id: StreamId, end: Packet) {
        if let Some(stream) = self.stream_mut(id) {
            stream.send.finish(end);
            self.schedule(id);
        }
    }

    /// The end of a stream's bytes is the end of its outgoing half.
    pub(crate) fn seal(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id) {
            stream.send.seal();
        }
    }

    /// Closes the outgoing half without a word: the peer has ended the stream.
    pub(crate) fn close_outgoing(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id) {
            let dropped = stream.send.queued_bytes();
            stream.send.close();
            stream.send.source_paused = false;
            self.memory.shrink(dropped);
        }
    }

    fn schedule(&mut self, id: StreamId) {
        // Not `stream_mut`: the schedule is another field.
        if let Some(stream) = self.streams.get_mut(super::index(id))
            && stream.id == id
            && stream.send.is_ready()
        {
            self.schedule.add(id, &mut stream.turn);
        }
    }

    /// Something waits for the transport; now and then only a stream that turns out to have nothing left.
    pub(crate) fn has_transmit(&self, with_data: bool) -> bool {
        !(self.control.is_empty() && self.grants.is_empty() && self.replies.is_empty())
            || with_data && !self.schedule.is_empty()
    }

    /// The next packet for the transport: what is about streams first, then, `with_data`, their bytes and ends in
    /// fair turns.
    pub(crate) fn poll_transmit(&mut self, now: Instant, with_data: bool) -> Option<Outgoing> {
        if let Some(packet) = self.control.pop_front() {
            return Some(Outgoing::packet(packet));
        }
        if let Some(packet) = self.next_grant() {
            return Some(Outgoing::packet(packet));
        }
        if let Some(packet) = self.replies.pop_front() {
            return Some(Outgoing::packet(packet));
        }
        if !with_data {
            return None;
        }
        let (max_data, bound) = (self.config.max_data_bytes, self.send_bound());
        while let Some(id) = self.schedule.next() {
            let Some(stream) = self.streams.get_mut(super::index(id)) else {
                self.schedule.skip();
                continue;
            };
            if !self
                .schedule
                .may_send(&mut stream.turn, stream.send.is_ready())
            {
                continue;
            }
            let connect_id = stream.connect_id;
            let (outgoing, sent) = if let Some(data) = stream.send.next_data(max_data) {
                let sent = data.len();
                (Outgoing::packet(Packet::Data { connect_id, data }), sent)
            } else if let Some((packet, last)) = stream.send.next_end() {
                let ended = if last {
                    Ended::Stream(id)
                } else {
                    Ended::Writing(id)
                };
                (
                    Outgoing {
                        packet,
                        ended: Some(ended),
                    },
                    0,
                )
            } else {
                continue;
            };
            self.schedule.sent(&mut stream.turn, sent);
            if stream.send.becomes_blocked() {
                self.control.push_back(Packet::WindowUpdate {
                    connect_id,
                    bytes: 0,
                });
            }
            let resume = stream.send.source_paused && stream.send.queued_bytes() <= bound / 2;
            if resume {
                stream.send.source_paused = false;
            }
            self.memory.shrink(sent);
            if resume {
                self.wake(id);
            }
            self.put_off(now, id);
            return Some(outgoing);
        }
        None
    }
}
