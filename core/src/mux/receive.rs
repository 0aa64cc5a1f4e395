//! One stream's bytes on their way from the tunnel to its local reader.

use std::collections::VecDeque;

use bytes::Bytes;

/// Payloads up to this size are copied out of the transport's buffer, which a slice would keep alive whole.
const COPY_UP_TO_BYTES: usize = 1024;
/// What a queued chunk costs beside its bytes, counted so that a flood of tiny packets meets the bound too.
const CHUNK_COST_BYTES: usize = 64;

/// The queue from the tunnel towards a stream's local reader.
#[derive(Debug, Default)]
pub(crate) struct ReceiveHalf {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Payload bytes the peer may still send; `None` when it knows no credit.
    window: Option<u64>,
    /// The whole window, to which `window` returns.
    window_size: u64,
    /// Taken by the reader, not yet granted again.
    ungranted: u64,
    /// Nobody reads any more: bytes are dropped and count as taken.
    discarding: bool,
}

/// The peer sent more than its credit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowOverrun;

impl ReceiveHalf {
    pub(super) fn set_window(&mut self, window: Option<u64>) {
        self.window = window;
        self.window_size = window.unwrap_or(0);
    }

    /// Takes a payload from the tunnel.
    pub(super) fn receive(&mut self, data: &Bytes) -> Result<(), WindowOverrun> {
        let length = data.len() as u64;
        if let Some(window) = &mut self.window {
            *window = window.checked_sub(length).ok_or(WindowOverrun)?;
        }
        if self.discarding {
            self.ungranted += length;
        } else if !data.is_empty() {
            self.bytes += data.len() + CHUNK_COST_BYTES;
            self.chunks.push_back(if data.len() <= COPY_UP_TO_BYTES {
                Bytes::copy_from_slice(data)
            } else {
                data.clone()
            });
        }
        Ok(())
    }

    /// The next chunk for the reader.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let data = self.chunks.pop_front()?;
        self.bytes -= data.len() + CHUNK_COST_BYTES;
        self.ungranted += data.len() as u64;
        Some(data)
    }

    /// Credit worth sending back now: once half the window was taken, or everything was and a quarter.
    pub(super) fn grant(&mut self) -> Option<u64> {
        let window = self.window.as_mut()?;
        let due = if self.chunks.is_empty() {
            self.window_size / 4
        } else {
            self.window_size / 2
        };
        if self.ungranted == 0 || self.ungranted < due {
            return None;
        }
        let grant = std::mem::take(&mut self.ungranted);
        *window += grant;
        Some(grant)
    }

    /// Drops what is queued and all that still comes; returns true when that changed something.
    pub(super) fn discard(&mut self) -> bool {
        let changed = !self.discarding;
        self.discarding = true;
        while self.take().is_some() {}
        changed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.bytes
    }

    /// The peer is held by credit, so this queue cannot outgrow its window.
    pub(super) fn has_window(&self) -> bool {
        self.window.is_some()
    }
}
