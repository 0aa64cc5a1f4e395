//! Whose bytes leave next: deficit round robin (Shreedhar and Varghese, 1996), with the first bytes of a stream
//! that was quiet ahead of those that have much to send, as in FQ-CoDel (RFC 8290, section 4.2).

use std::collections::VecDeque;

use crate::ids::StreamId;

/// Bytes of a stream that was quiet which leave before the others' turns; enough for a request or an answer.
const FIRST_BYTES: i64 = 16 * 1024;
/// What a packet costs beyond its payload, so that one of a single byte is not free.
const PACKET_COST: i64 = 64;

/// The order in which streams with something to send are served.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Bytes of each stream in a round.
    quantum: i64,
    /// Streams that were quiet, ahead of all others.
    fresh: VecDeque<StreamId>,
    /// Streams in turn.
    turns: VecDeque<StreamId>,
}

/// One stream's place in the schedule.
#[derive(Debug, Default)]
pub(super) struct Turn {
    place: Place,
    /// Bytes that it may send before the next one's turn; what it sent too much is owed.
    deficit: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Quiet,
    Fresh,
    Turn,
}

impl Schedule {
    /// A schedule in which each stream sends about `quantum` bytes in a round.
    pub(super) fn new(quantum: usize) -> Self {
        Self {
            quantum: i64::try_from(quantum).unwrap_or(i64::MAX).max(1),
            fresh: VecDeque::new(),
            turns: VecDeque::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.turns.is_empty()
    }

    /// A stream has something to send.
    pub(super) fn add(&mut self, id: StreamId, turn: &mut Turn) {
        if turn.place == Place::Quiet {
            turn.place = Place::Fresh;
            turn.deficit = FIRST_BYTES.min(self.quantum);
            self.fresh.push_back(id);
        }
    }

    /// Who is next; stays the same until it has sent its share, or has nothing to send.
    pub(super) fn next(&self) -> Option<StreamId> {
        self.fresh.front().or(self.turns.front()).copied()
    }

    /// The next one is no stream any more.
    pub(super) fn skip(&mut self) {
        if self.fresh.pop_front().is_none() {
            self.turns.pop_front();
        }
    }

    /// Whether the next stream may send now; if not, another one is next.
    pub(super) fn may_send(&mut self, turn: &mut Turn, ready: bool) -> bool {
        if ready && turn.deficit > 0 {
            return true;
        }
        let fresh = turn.place == Place::Fresh;
        let queue = if fresh {
            &mut self.fresh
        } else {
            &mut self.turns
        };
        let Some(id) = queue.pop_front() else {
            return false;
        };
        if ready || fresh {
            // Also a fresh one with nothing left: it would else come ahead of all others again and again.
            turn.place = Place::Turn;
            turn.deficit += self.quantum;
            self.turns.push_back(id);
        } else {
            turn.place = Place::Quiet;
        }
        false
    }

    /// The next stream has sent a packet with so many bytes of payload.
    pub(super) fn sent(&mut self, turn: &mut Turn, bytes: usize) {
        turn.deficit -= i64::try_from(bytes).unwrap_or(i64::MAX).max(PACKET_COST);
    }

    /// A stream is gone.
    pub(super) fn remove(&mut self, id: StreamId, turn: &Turn) {
        match turn.place {
            Place::Quiet => {}
            Place::Fresh => self.fresh.retain(|other| *other != id),
            Place::Turn => self.turns.retain(|other| *other != id),
        }
    }

    /// Forgets everyone; each stream's [`Turn`] is to be made anew.
    pub(super) fn clear(&mut self) {
        self.fresh.clear();
        self.turns.clear();
    }
}
