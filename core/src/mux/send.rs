//! One stream's bytes on their way into the tunnel.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::wire::Packet;

/// Chunks below this size are joined with what waits behind them, so that a chatty source does not cost a
/// packet a write.
const MERGE_BELOW_BYTES: usize = 2 * 1024;
/// A joined packet grows to at most this size; the copy stays cheap against the packet it saves.
const MERGED_BYTES: usize = 16 * 1024;

/// The queue from a stream's local source towards the tunnel, and what ends it.
#[derive(Debug, Default)]
pub(crate) struct SendHalf {
    chunks: VecDeque<Bytes>,
    bytes: usize,
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
        if !data.is_empty() && self.is_open() {
            self.bytes += data.len();
            self.chunks.push_back(data);
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
        self.chunks.clear();
        self.bytes = 0;
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
        self.bytes
    }

    /// Something could be sent now.
    pub(super) fn is_ready(&self) -> bool {
        if self.chunks.is_empty() {
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
        if allowed == 0 {
            return None;
        }
        let data = self.take(allowed)?;
        self.bytes -= data.len();
        if let Some(credit) = &mut self.credit {
            *credit -= data.len() as u64;
        }
        Some(data)
    }

    fn take(&mut self, allowed: usize) -> Option<Bytes> {
        let first = self.chunks.front_mut()?;
        if first.len() > allowed {
            return Some(first.split_to(allowed));
        }
        let first = self.chunks.pop_front()?;
        let limit = allowed.min(MERGED_BYTES);
        let fits = |queue: &VecDeque<Bytes>, so_far: usize| {
            queue
                .front()
                .is_some_and(|next| so_far + next.len() <= limit)
        };
        if first.len() >= MERGE_BELOW_BYTES || !fits(&self.chunks, first.len()) {
            return Some(first);
        }
        let mut merged = BytesMut::with_capacity(limit.min(self.bytes));
        merged.extend_from_slice(&first);
        while fits(&self.chunks, merged.len()) {
            if let Some(next) = self.chunks.pop_front() {
                merged.extend_from_slice(&next);
            }
        }
        Some(merged.freeze())
    }

    /// The end, once nothing waits in front of it.
    pub(super) fn next_end(&mut self) -> Option<Packet> {
        if !self.chunks.is_empty() {
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
