//! From the tunnel to the streams' local readers: DATA in, credit back.

use std::time::Instant;

use bytes::Bytes;

use super::{Mux, Received};
use crate::ids::{ConnectId, StreamId};
use crate::wire::Packet;

impl<T> Mux<T> {
    /// DATA from the peer.
    pub(crate) fn receive(&mut self, now: Instant, connect_id: ConnectId, data: Bytes) -> Received {
        let Some(id) = self.by_connect_id(connect_id) else {
            return Received::Unknown;
        };
        let (bound, slow) = (
            self.config.receive_buffer_bytes,
            now + self.config.slow_stream_timeout,
        );
        let length = data.len();
        let Some(stream) = self.stream_mut(id) else {
            return Received::Unknown;
        };
        let was_empty = stream.receive.is_empty();
        if stream.receive.receive(data).is_err() {
            return Received::Violation(id);
        }
        let wake = was_empty && !stream.receive.is_empty();
        let full = !stream.receive.has_window() && stream.receive.queued_bytes() >= bound;
        if !stream.receive.is_discarding() {
            self.memory.grow(length);
        }
        if full && self.full.insert(id) {
            self.set_slow_deadline(id, Some(slow));
        }
        if wake {
            self.wake(id);
        }
        self.grant(id);
        if length > 0 {
            self.put_off(now, id);
        }
        Received::Accepted
    }

    /// Whether more may be read from the tunnel: no stream without credit is at its bound.
    pub(crate) fn wants_read(&self) -> bool {
        self.full.is_empty()
    }

    /// The next chunk for a stream's local reader; credit for it goes back to the peer.
    pub(crate) fn take(&mut self, now: Instant, id: StreamId) -> Option<Bytes> {
        let (bound, slow) = (
            self.config.receive_buffer_bytes,
            now + self.config.slow_stream_timeout,
        );
        let stream = self.stream_mut(id)?;
        let data = stream.receive.take()?;
        let below = stream.receive.queued_bytes() < bound;
        self.memory.shrink(data.len());
        if self.full.contains(&id) {
            if below {
                self.full.remove(&id);
            }
            self.set_slow_deadline(id, (!below).then_some(slow));
        }
        self.grant(id);
        self.put_off(now, id);
        Some(data)
    }

    /// From now on drops what arrives for a stream, as if a reader took it.
    pub(crate) fn discard_received(&mut self, id: StreamId) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let dropped = stream.receive.queued_bytes();
        if stream.receive.discard() {
            self.memory.shrink(dropped);
            self.full.remove(&id);
            self.set_slow_deadline(id, None);
            self.grant(id);
        }
    }

    /// From now on drops what arrives for a stream, and asks for no more: its reader has failed, and
    /// who sends is to notice.
    pub(crate) fn refuse_received(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id) {
            stream.receive.withhold();
        }
        self.discard_received(id);
    }

    /// The peer has more for a stream than its credit: lets the window grow where it is what holds the stream
    /// back, as far as memory allows.
    pub(super) fn handle_blocked(&mut self, id: StreamId) {
        self.widen(id);
        self.grant(id);
    }

    fn widen(&mut self, id: StreamId) {
        let most = self.config.max_receive_window_bytes;
        let Some(wanted) = self
            .stream(id)
            .and_then(|stream| stream.receive.wanted_growth(most))
        else {
            return;
        };
        if self.memory.reserve(wanted)
            && let Some(stream) = self.stream_mut(id)
        {
            stream.receive.widen(wanted);
        }
    }

    fn grant(&mut self, id: StreamId) {
        let pressed = self.memory.is_pressed();
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let connect_id = stream.connect_id;
        // No more credit for an ended stream: its id means nothing to the peer.
        if connect_id.is_none_or(|connect_id| self.by_connect_id(connect_id) != Some(id)) {
            return;
        }
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let given_up = if pressed { stream.receive.narrow() } else { 0 };
        let due = stream.receive.grant() && !std::mem::replace(&mut stream.grant_queued, true);
        self.memory.release(given_up);
        if due {
            self.grants.push_back(id);
        }
    }

    /// The next credit for the peer, all of one stream's in one packet.
    pub(super) fn next_grant(&mut self) -> Option<Packet> {
        while let Some(id) = self.grants.pop_front() {
            let Some(stream) = self.stream_mut(id) else {
                continue;
            };
            stream.grant_queued = false;
            let connect_id = stream.connect_id;
            let bytes = stream.receive.tell_grant();
            let known = connect_id.and_then(|connect_id| self.by_connect_id(connect_id));
            if known == Some(id) {
                return Some(Packet::WindowUpdate { connect_id, bytes });
            }
        }
        None
    }
}
