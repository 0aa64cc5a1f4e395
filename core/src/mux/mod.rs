//! The streams of one link, whichever end it is: queues both ways, credit, fairness and bounds.
//!
//! Both `server::Link` and `agent::Link` stand on it. It knows DATA and WINDOW; what opens and what ends a
//! stream is the role's to decide.

mod config;
mod incoming;
mod outgoing;
mod receive;
mod schedule;
mod send;
mod stream;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use slab::Slab;

pub use config::MuxConfig;
use schedule::Schedule;
pub use stream::QueuedBytes;
pub(crate) use stream::{Stream, StreamTimer};

use crate::ids::{ConnectId, StreamId};
use crate::load::LinkLoad;
use crate::memory::LinkMemory;
use crate::negotiated::Negotiated;
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

/// A packet for the transport, and what ended with it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) packet: Packet,
    pub(crate) ended: Option<Ended>,
}

/// What a packet is the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The bytes of a stream, which goes on.
    Writing(StreamId),
    /// The outgoing half of a stream.
    Stream(StreamId),
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
    /// Streams that can send.
    schedule: Schedule,
    wakes: VecDeque<StreamId>,
    full: BTreeSet<StreamId>,
    timers: BTreeSet<(Instant, StreamId, StreamTimer)>,
    memory: LinkMemory,
}

impl<T> Mux<T> {
    pub(crate) fn new(config: MuxConfig, negotiated: Negotiated) -> Self {
        Self {
            schedule: Schedule::new(config.max_data_bytes),
            memory: LinkMemory::new(config.memory.clone()),
            config,
            negotiated,
            streams: Slab::new(),
            serial: 0,
            by_connect_id: BTreeMap::new(),
            control: VecDeque::new(),
            grants: VecDeque::new(),
            replies: VecDeque::new(),
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
        if stream.grant_queued {
            self.grants.retain(|other| *other != id);
        }
        let stream = self.streams.remove(index(id));
        self.schedule.remove(id, &stream.turn);
        self.memory
            .shrink(stream.send.queued_bytes() + stream.receive.queued_bytes());
        self.memory.release(stream.receive.excess());
        Some(stream.state)
    }

    /// The transport is gone: nothing waits for it any more, and nothing is accepted for it.
    pub(crate) fn shut(&mut self) {
        self.control.clear();
        self.grants.clear();
        self.replies.clear();
        self.schedule.clear();
        for (_, stream) in &mut self.streams {
            self.memory.shrink(stream.send.queued_bytes());
            stream.send.close();
            stream.send.source_paused = false;
            stream.turn = schedule::Turn::default();
            stream.grant_queued = false;
        }
        self.by_connect_id.clear();
    }

    // ---- wake-ups ----

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

    /// What the streams hold together.
    pub(crate) fn load(&self) -> LinkLoad {
        let mut load = LinkLoad {
            streams: self.streams.len(),
            ..LinkLoad::default()
        };
        for (_, stream) in &self.streams {
            load.outgoing_bytes += stream.send.queued_bytes();
            load.incoming_bytes += stream.receive.queued_bytes();
            load.stalled_streams += usize::from(stream.send.is_stalled());
        }
        load
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
