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
    /// Sent after the last chunk; nothing is accepted once it is set.
    end: Option<Packet>,
    /// Set once `end` was handed to the transport, or the half was discarded.
    closed: bool,
    /// The source was told to stop and has not been woken since.
    pub(super) source_paused: bool,
    /// The stream stands in the round-robin of the link.
    pub(super) scheduled: bool,
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
                Ok(())
            }
            _ => Err(CreditOverflow),
        }
    }

    /// Queues bytes; dropped when the half has ended, since nobody would take them.
    pub(super) fn push(&mut self, data: Bytes) {
        if self.is_open() {
            self.queue.push(data);
        }
    }

    /// Ends the half with `end` behind everything queued; the first end wins.
    pub(super) fn finish(&mut self, end: Packet) {
        if self.is_open() {
            self.end = Some(end);
        }
    }

    /// Drops everything: the peer no longer knows the stream.
    pub(super) fn close(&mut self) {
        self.queue.clear();
        self.end = None;
        self.closed = true;
    }

    pub(super) fn is_open(&self) -> bool {
        self.end.is_none() && !self.closed
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

    /// The end, once nothing waits in front of it.
    pub(super) fn next_end(&mut self) -> Option<Packet> {
        if !self.queue.is_empty() {
            return None;
        }
        let end = self.end.take()?;
        self.closed = true;
        Some(end)
    }
}

/// The peer granted more credit than a window can hold (2^63 - 1 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreditOverflow;
