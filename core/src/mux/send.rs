//! One stream's bytes on their way into the tunnel.

use bytes::Bytes;

use crate::byte_queue::ByteQueue;
use crate::wire::Packet;

/// The queue from a stream's local source towards the tunnel, and what ends it.
#[derive(Debug, Default)]
pub(crate) struct SendHalf {
    queue: ByteQueue,
    /// Payload bytes the peer lets us send; `None` when it knows no credit.
    credit: Option<u64>,
    /// The peer was told that more waits than it lets us send.
    blocked_told: bool,
    /// Sent after the last chunk.
    end: Option<End>,
    /// No more bytes are accepted.
    writing_ended: bool,
    /// Set once the last `end` was handed to the transport, or the half was discarded.
    closed: bool,
    /// The source was told to stop and has not been woken since.
    pub(super) source_paused: bool,
}

/// A packet behind a stream's bytes.
#[derive(Debug)]
struct End {
    packet: Packet,
    /// Nothing is sent for the stream after it.
    last: bool,
}

impl SendHalf {
    pub(super) fn set_credit(&mut self, credit: Option<u64>) {
        self.credit = credit;
    }

    /// Adds credit from the peer; `Err` when the sum exceeds what a window can be.
    pub(super) fn grant(&mut self, bytes: u64) -> Result<(), CreditOverflow> {
        let Some(credit) = self.credit else {
            return Ok(());
        };
        match credit.checked_add(bytes) {
            Some(sum) if sum <= i64::MAX as u64 => {
                self.credit = Some(sum);
                self.blocked_told = false;
                Ok(())
            }
            _ => Err(CreditOverflow),
        }
    }

    /// Queues bytes; dropped, with `false`, when the half has ended, since nobody would take them.
    pub(super) fn push(&mut self, data: Bytes) -> bool {
        let open = self.is_open();
        if open {
            self.queue.push(data);
        }
        open
    }

    /// Ends the bytes with `packet` behind everything queued.
    pub(super) fn finish_writing(&mut self, packet: Packet) {
        if self.is_open() {
            self.writing_ended = true;
            self.end = Some(End {
                packet,
                last: false,
            });
        }
    }

    /// Ends the half with `packet` behind everything queued, in the place of an end of the bytes alone that has
    /// not left; the first end of the half wins.
    pub(super) fn finish(&mut self, packet: Packet) {
        let ended = self.end.as_ref().is_some_and(|end| end.last);
        if !self.closed && !ended {
            self.writing_ended = true;
            self.end = Some(End { packet, last: true });
        }
    }

    /// Nothing follows the end of the bytes.
    pub(super) fn seal(&mut self) {
        match &mut self.end {
            Some(end) => end.last = true,
            None => self.closed |= self.writing_ended,
        }
    }

    /// Drops everything: the peer no longer knows the stream.
    pub(super) fn close(&mut self) {
        self.queue.clear();
        self.end = None;
        self.writing_ended = true;
        self.closed = true;
    }

    pub(super) fn is_open(&self) -> bool {
        !self.writing_ended
    }

    /// The end was handed to the transport, or the half was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// Something could be sent now.
    pub(super) fn is_ready(&self) -> bool {
        if self.queue.is_empty() {
            self.end.is_some()
        } else {
            self.credit != Some(0)
        }
    }

    /// Credit has just run out with more to send; told once until there is new credit.
    pub(super) fn becomes_blocked(&mut self) -> bool {
        self.is_stalled() && !std::mem::replace(&mut self.blocked_told, true)
    }

    /// Bytes wait for credit.
    pub(super) fn is_stalled(&self) -> bool {
        self.credit == Some(0) && !self.queue.is_empty()
    }

    /// The next payload of at most `max_bytes` that credit allows.
    pub(super) fn next_data(&mut self, max_bytes: usize) -> Option<Bytes> {
        let allowed = match self.credit {
            Some(credit) => usize::try_from(credit).unwrap_or(usize::MAX).min(max_bytes),
            None => max_bytes,
        };
        let data = self.queue.take(allowed)?;
        if let Some(credit) = &mut self.credit {
            *credit -= data.len() as u64;
        }
        Some(data)
    }

    /// The end, once nothing waits in front of it, and whether it is the half's.
    pub(super) fn next_end(&mut self) -> Option<(Packet, bool)> {
        if !self.queue.is_empty() {
            return None;
        }
        let End { packet, last } = self.end.take()?;
        self.closed |= last;
        Some((packet, last))
    }
}

/// The peer granted more credit than a window can hold (2^63 - 1 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreditOverflow;
