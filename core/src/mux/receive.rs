//! One stream's bytes on their way from the tunnel to its local reader.

use bytes::Bytes;

use crate::byte_queue::ByteQueue;

/// The queue from the tunnel towards a stream's local reader.
#[derive(Debug, Default)]
pub(crate) struct ReceiveHalf {
    queue: ByteQueue,
    /// Payload bytes the peer may still send; `None` when it knows no credit.
    window: Option<u64>,
    /// The whole window, to which `window` returns.
    window_size: u64,
    /// Taken by the reader, not yet granted again.
    ungranted: u64,
    /// Granted, and not yet told to the peer.
    untold_grant: u64,
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
    pub(super) fn receive(&mut self, data: Bytes) -> Result<(), WindowOverrun> {
        let length = data.len() as u64;
        if let Some(window) = &mut self.window {
            *window = window.checked_sub(length).ok_or(WindowOverrun)?;
        }
        if self.discarding {
            self.ungranted += length;
        } else {
            self.queue.push(data);
        }
        Ok(())
    }

    /// The next chunk for the reader.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let data = self.queue.take(usize::MAX)?;
        self.ungranted += data.len() as u64;
        Some(data)
    }

    /// Grants credit again where it is worth a packet: once half the window was taken, or everything was and a
    /// quarter. True when the peer is to be told.
    pub(super) fn grant(&mut self) -> bool {
        let Some(window) = self.window.as_mut() else {
            return false;
        };
        let due = if self.queue.is_empty() {
            self.window_size / 4
        } else {
            self.window_size / 2
        };
        if self.ungranted == 0 || self.ungranted < due {
            return false;
        }
        let grant = std::mem::take(&mut self.ungranted);
        *window += grant;
        self.untold_grant += grant;
        true
    }

    /// The credit that the peer is now told of; zero when it was told already.
    pub(super) fn tell_grant(&mut self) -> u64 {
        std::mem::take(&mut self.untold_grant)
    }

    /// Drops what is queued and all that still comes; returns true when that changed something.
    pub(super) fn discard(&mut self) -> bool {
        let changed = !self.discarding;
        self.discarding = true;
        while self.take().is_some() {}
        changed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// The peer is held by credit, so this queue cannot outgrow its window.
    pub(super) fn has_window(&self) -> bool {
        self.window.is_some()
    }
}
