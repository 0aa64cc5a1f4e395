//! The streams of one link, whichever end it is: queues both ways, credit, fairness and bounds.
//!
//! Both `server::Link` and `agent::Link` stand on it. It knows DATA and WINDOW; what opens and what ends a
//! stream is the role's to decide.

mod config;
mod receive;
mod send;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use slab::Slab;

pub use config::{MuxConfig, Negotiated};
pub use stream::QueuedBytes;
pub(crate) use stream::{Stream, StreamTimer};

use crate::ids::{ConnectId, StreamId};
use crate::wire::Packet;

/// Bits of a [`StreamId`] that hold its place in the table; the rest is a serial number.
const INDEX_BITS: u32 = 24;

/// What came of a DATA or WINDOW packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Queued for the local reader, or credit taken.
    Accepted,
    /// No such stream on this link.
    Unknown,
    /// The peer broke the credit rules on this stream: it alone is to be reset.
    Violation(StreamId),
}

/// A packet for the transport, and the stream that ended with it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) packet: Packet,
    pub(crate) ended: Option<StreamId>,
}

impl Outgoing {
    const fn packet(packet: Packet) -> Self {
        Self {
            packet,
            ended: None,
        }
    }
}

/// The table of streams of one link.
#[derive(Debug)]
pub(crate) struct Mux<T> {
    config: MuxConfig,
    negotiated: Negotiated,
    streams: Slab<Stream<T>>,
    serial: u64,
    by_connect_id: BTreeMap<ConnectId, StreamId>,
    /// Packets that go before all else; their number is bounded by [`Mux::insert`].
    control: VecDeque<Packet>,
    /// Streams whose peer is to be told of credit.
    grants: VecDeque<StreamId>,
    /// Replies about ids that nobody knows.
    replies: VecDeque<Packet>,
    /// Streams that can send, in turn.
    ready: VecDeque<StreamId>,
    wakes: VecDeque<StreamId>,
    full: BTreeSet<StreamId>,
    timers: BTreeSet<(Instant, StreamId, StreamTimer)>,
}

impl<T> Mux<T> {
    pub(crate) fn new(config: MuxConfig, negotiated: Negotiated) -> Self {
        Self {
            config,
            negotiated,
            streams: Slab::new(),
            serial: 0,
            by_connect_id: BTreeMap::new(),
            control: VecDeque::new(),
            grants: VecDeque::new(),
            replies: VecDeque::new(),
            ready: VecDeque::new(),
            wakes: VecDeque::new(),
            full: BTreeSet::new(),
            timers: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// No stream, timer or packet is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
            && self.timers.is_empty()
            && self.control.is_empty()
            && self.replies.is_empty()
    }

    pub(crate) fn ids(&self) -> Vec<StreamId> {
        self.streams.iter().map(|(_, stream)| stream.id).collect()
    }

    /// A new stream without a connection id; `None` at `max_streams`.
    ///
    /// Streams come and go faster than a stalled transport takes the packets about them, so these are held to
    /// the same bound.
    pub(crate) fn insert(&mut self, state: T) -> Option<StreamId> {
        let limit = self.config.max_streams.min(1 << INDEX_BITS);
        if self.streams.len() >= limit || self.control.len() >= limit {
            return None;
        }
        let entry = self.streams.vacant_entry();
        let id = StreamId((self.serial << INDEX_BITS) | entry.key() as u64);
        self.serial += 1;
        entry.insert(Stream::new(id, state));
        Some(id)
    }

    pub(crate) fn stream(&self, id: StreamId) -> Option<&Stream<T>> {
        self.streams.get(index(id)).filter(|stream| stream.id == id)
    }

    pub(crate) fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream<T>> {
        self.streams
            .get_mut(index(id))
            .filter(|stream| stream.id == id)
    }

    pub(crate) fn by_connect_id(&self, connect_id: ConnectId) -> Option<StreamId> {
        self.by_connect_id.get(&connect_id).copied()
    }

    /// Gives a stream its connection id and its credit; `false` when the id is taken on this link.
    pub(crate) fn establish(&mut self, id: StreamId, connect_id: ConnectId) -> bool {
        let peer_window = self.negotiated.peer_window_bytes;
        let own_window = peer_window.map(|_| self.config.receive_window_bytes);
        if self.by_connect_id.contains_key(&connect_id) {
            return false;
        }
        let Some(stream) = self.stream_mut(id) else {
            return false;
        };
        stream.connect_id = Some(connect_id);
        stream.send.set_credit(peer_window);
        stream.receive.set_window(own_window);
        self.by_connect_id.insert(connect_id, id);
        true
    }

    /// Forgets the connection id of a stream: the peer has ended it and may use the id no more.
    pub(crate) fn release_connect_id(&mut self, id: StreamId) {
        let released = self.stream_mut(id).and_then(|stream| stream.connect_id);
        if let Some(connect_id) = released
            && self.by_connect_id.get(&connect_id) == Some(&id)
        {
            self.by_connect_id.remove(&connect_id);
        }
    }

    /// Frees a stream and all that it holds.
    pub(crate) fn remove(&mut self, id: StreamId) -> Option<T> {
        self.set_deadline(id, None);
        self.set_slow_deadline(id, None);
        self.release_connect_id(id);
        self.full.remove(&id);
        let stream = self.stream(id)?;
        let (scheduled, grant_queued) = (stream.send.scheduled, stream.grant_queued);
        if scheduled {
            self.ready.retain(|other| *other != id);
        }
        if grant_queued {
            self.grants.retain(|other| *other != id);
        }
        Some(self.streams.remove(index(id)).state)
    }

    /// The transport is gone: nothing waits for it any more, and nothing is accepted for it.
    pub(crate) fn shut(&mut self) {
        self.control.clear();
        self.grants.clear();
        self.replies.clear();
        self.ready.clear();
        for (_, stream) in &mut self.streams {
            stream.send.close();
            stream.send.source_paused = false;
            stream.send.scheduled = false;
            stream.grant_queued = false;
        }
        self.by_connect_id.clear();
    }

    // ---- from the tunnel ----

    /// DATA from the peer.
    pub(crate) fn receive(&mut self, now: Instant, connect_id: ConnectId, data: Bytes) -> Received {
        let Some(id) = self.by_connect_id(connect_id) else {
            return Received::Unknown;
        };
        let (bound, slow) = (
            self.config.receive_buffer_bytes,
            now + self.config.slow_stream_timeout,
        );
        let Some(stream) = self.stream_mut(id) else {
            return Received::Unknown;
        };
        let was_empty = stream.receive.is_empty();
        let moved = !data.is_empty();
        if stream.receive.receive(data).is_err() {
            return Received::Violation(id);
        }
        let wake = was_empty && !stream.receive.is_empty();
        let full = !stream.receive.has_window() && stream.receive.queued_bytes() >= bound;
        if full && self.full.insert(id) {
            self.set_slow_deadline(id, Some(slow));
        }
        if wake {
            self.wake(id);
        }
        self.grant(id);
        if moved {
            self.put_off(now, id);
        }
        Received::Accepted
    }

    /// WINDOW from the peer.
    pub(crate) fn receive_credit(&mut self, connect_id: ConnectId, bytes: u64) -> Received {
        let Some(id) = self.by_connect_id(connect_id) else {
            return Received::Unknown;
        };
        let Some(stream) = self.stream_mut(id) else {
            return Received::Unknown;
        };
        if stream.send.grant(bytes).is_err() {
            return Received::Violation(id);
        }
        self.schedule(id);
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
        if let Some(stream) = self.stream_mut(id)
            && stream.receive.discard()
        {
            self.full.remove(&id);
            self.set_slow_deadline(id, None);
            self.grant(id);
        }
    }

    fn grant(&mut self, id: StreamId) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let connect_id = stream.connect_id;
        // No more credit for an ended stream: its id means nothing to the peer.
        if connect_id.is_none_or(|connect_id| self.by_connect_id(connect_id) != Some(id)) {
            return;
        }
        if let Some(stream) = self.stream_mut(id)
            && stream.receive.grant()
            && !std::mem::replace(&mut stream.grant_queued, true)
        {
            self.grants.push_back(id);
        }
    }

    /// The next credit for the peer, all of one stream's in one packet.
    fn next_grant(&mut self) -> Option<Packet> {
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

    // ---- towards the tunnel ----

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
        let bound = self.config.send_buffer_bytes;
        if let Some(stream) = self.stream_mut(id) {
            stream.send.push(data);
            stream.send.source_paused |= stream.send.queued_bytes() >= bound;
            self.schedule(id);
        }
    }

    /// Whether a stream's local source may be read.
    pub(crate) fn wants_push(&self, id: StreamId) -> bool {
        self.stream(id)
            .is_some_and(|stream| stream.send.is_open() && !stream.send.source_paused)
    }

    /// Ends the outgoing half with `end`, after all that is queued.
    pub(crate) fn finish(&mut self, id: StreamId, end: Packet) {
        if let Some(stream) = self.stream_mut(id) {
            stream.send.finish(end);
            self.schedule(id);
        }
    }

    /// Closes the outgoing half without a word: the peer has ended the stream.
    pub(crate) fn close_outgoing(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id) {
            stream.send.close();
            stream.send.source_paused = false;
        }
    }

    fn schedule(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id)
            && stream.send.is_ready()
            && !stream.send.scheduled
        {
            stream.send.scheduled = true;
            self.ready.push_back(id);
        }
    }

    /// Something waits for the transport.
    pub(crate) fn has_transmit(&self) -> bool {
        !(self.control.is_empty()
            && self.grants.is_empty()
            && self.replies.is_empty()
            && self.ready.is_empty())
    }

    /// The next packet for the transport: what is about streams first, then DATA, one packet of each stream in
    /// turn.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<Outgoing> {
        if let Some(packet) = self.control.pop_front() {
            return Some(Outgoing::packet(packet));
        }
        if let Some(packet) = self.next_grant() {
            return Some(Outgoing::packet(packet));
        }
        if let Some(packet) = self.replies.pop_front() {
            return Some(Outgoing::packet(packet));
        }
        while let Some(id) = self.ready.pop_front() {
            let (max_data, bound) = (self.config.max_data_bytes, self.config.send_buffer_bytes);
            let Some(stream) = self.stream_mut(id) else {
                continue;
            };
            stream.send.scheduled = false;
            let connect_id = stream.connect_id;
            let outgoing = if let Some(data) = stream.send.next_data(max_data) {
                Outgoing::packet(Packet::Data { connect_id, data })
            } else if let Some(packet) = stream.send.next_end() {
                Outgoing {
                    packet,
                    ended: Some(id),
                }
            } else {
                continue;
            };
            let resume = stream.send.source_paused && stream.send.queued_bytes() <= bound / 2;
            if resume {
                stream.send.source_paused = false;
            }
            self.schedule(id);
            if resume {
                self.wake(id);
            }
            self.put_off(now, id);
            return Some(outgoing);
        }
        None
    }

    // ---- local side and timers ----

    /// Asks the local side of a stream to look at it again.
    pub(crate) fn wake(&mut self, id: StreamId) {
        if let Some(stream) = self.stream_mut(id)
            && !stream.wake_queued
        {
            stream.wake_queued = true;
            self.wakes.push_back(id);
        }
    }

    /// The next stream whose local side is to look at it.
    pub(crate) fn poll_wake(&mut self) -> Option<StreamId> {
        while let Some(id) = self.wakes.pop_front() {
            if let Some(stream) = self.stream_mut(id) {
                stream.wake_queued = false;
                return Some(id);
            }
        }
        None
    }

    /// Arms, moves or (with `None`) disarms the role's deadline of a stream.
    pub(crate) fn set_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        if let Some(stream) = self.stream_mut(id) {
            stream.patience = None;
            self.move_deadline(id, at);
        }
    }

    /// Arms the role's deadline of a stream so that it passes once no byte has moved for `patience`.
    pub(crate) fn await_progress(&mut self, now: Instant, id: StreamId, patience: Duration) {
        if let Some(stream) = self.stream_mut(id) {
            stream.patience = Some(patience);
            self.move_deadline(id, Some(now + patience));
        }
    }

    /// The role waits for something on this stream.
    pub(crate) fn has_deadline(&self, id: StreamId) -> bool {
        self.stream(id)
            .is_some_and(|stream| stream.deadline.is_some())
    }

    /// A byte has moved.
    fn put_off(&mut self, now: Instant, id: StreamId) {
        if let Some(patience) = self.stream(id).and_then(|stream| stream.patience) {
            self.move_deadline(id, Some(now + patience));
        }
    }

    fn move_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut stream.deadline, at);
        self.rearm(id, StreamTimer::Role, old, at);
    }

    fn set_slow_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut stream.slow_deadline, at);
        self.rearm(id, StreamTimer::SlowReader, old, at);
    }

    fn rearm(
        &mut self,
        id: StreamId,
        timer: StreamTimer,
        old: Option<Instant>,
        new: Option<Instant>,
    ) {
        if let Some(old) = old {
            self.timers.remove(&(old, id, timer));
        }
        if let Some(new) = new {
            self.timers.insert((new, id, timer));
        }
    }

    /// When [`Mux::poll_expired`] next has something, if ever.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _, _)| *at)
    }

    /// The next deadline that has passed; it is disarmed.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<(StreamId, StreamTimer)> {
        let (at, id, timer) = *self.timers.first()?;
        if at > now {
            return None;
        }
        match timer {
            StreamTimer::Role => self.set_deadline(id, None),
            StreamTimer::SlowReader => self.set_slow_deadline(id, None),
        }
        Some((id, timer))
    }

    /// What each stream holds.
    pub(crate) fn queued_bytes(&self) -> impl Iterator<Item = QueuedBytes> + '_ {
        self.streams.iter().map(|(_, stream)| QueuedBytes {
            outgoing: stream.send.queued_bytes(),
            incoming: stream.receive.queued_bytes(),
        })
    }
}

fn index(id: StreamId) -> usize {
    usize::try_from(id.0 & ((1 << INDEX_BITS) - 1)).unwrap_or(usize::MAX)
}
