//! One stream's bytes on their way from the tunnel to its local reader.

use bytes::Bytes;

use crate::byte_queue::ByteQueue;

/// Credit is told in steps of an eighth of the window, so that a sender on a long path never waits for it, but
/// of no less than this, so that it is worth a packet.
const LEAST_GRANT_BYTES: u64 = 64 * 1024;

/// The queue from the tunnel towards a stream's local reader.
#[derive(Debug, Default)]
pub(crate) struct ReceiveHalf {
    queue: ByteQueue,
    /// `None` when the peer knows no credit.
    window: Option<Window>,
    /// Taken by the reader, not yet granted again.
    ungranted: u64,
    /// Granted, and not yet told to the peer.
    untold_grant: u64,
    /// Nobody reads any more: bytes are dropped and count as taken.
    discarding: bool,
    /// Nothing is granted any more: nobody takes or even drops what the peer would send for it.
    withholding: bool,
}

/// What a peer may send.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Payload bytes that it may still send.
    left: u64,
    /// The whole window, to which `left` returns.
    size: u64,
    /// The size at the start, below which it never falls.
    first_size: u64,
}

/// The peer sent more than its credit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowOverrun;

impl ReceiveHalf {
    pub(super) fn set_window(&mut self, bytes: Option<u64>) {
        self.window = bytes.map(|bytes| Window {
            left: bytes,
            size: bytes,
            first_size: bytes,
        });
    }

    /// Takes a payload from the tunnel.
    pub(super) fn receive(&mut self, data: Bytes) -> Result<(), WindowOverrun> {
        let length = data.len() as u64;
        if let Some(window) = &mut self.window {
            window.left = window.left.checked_sub(length).ok_or(WindowOverrun)?;
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

    /// By how much the window should grow, up to `most` in all.
    ///
    /// The peer says that it had to stop for want of credit. If the reader keeps up, what was granted again in good
    /// time had not reached it yet: the path holds more than the window (its bandwidth-delay product is larger),
    /// and the window doubles.
    pub(super) fn wanted_growth(&self, most: u64) -> Option<u64> {
        let window = self.window?;
        let keeps_up = self.queue.len() as u64 <= window.size / 2;
        let wanted = window.size.min(most.saturating_sub(window.size));
        (keeps_up && !self.discarding && wanted > 0).then_some(wanted)
    }

    /// The window is larger by so much; the next grant carries it.
    pub(super) fn widen(&mut self, bytes: u64) {
        if let Some(window) = &mut self.window {
            window.size += bytes;
            self.ungranted += bytes;
        }
    }

    /// Halves a window that has grown, by withholding what the reader took; by how much it could be made smaller.
    pub(super) fn narrow(&mut self) -> u64 {
        let Some(window) = &mut self.window else {
            return 0;
        };
        let excess = window.size - window.first_size.max(window.size / 2);
        let withheld = excess.min(self.ungranted);
        window.size -= withheld;
        self.ungranted -= withheld;
        withheld
    }

    /// What the window has grown by and is set aside for it.
    pub(super) fn excess(&self) -> u64 {
        self.window
            .map_or(0, |window| window.size - window.first_size)
    }

    /// Grants credit again where it is worth a packet. True when the peer is to be told.
    pub(super) fn grant(&mut self) -> bool {
        if self.withholding {
            return false;
        }
        let Some(window) = self.window.as_mut() else {
            return false;
        };
        let step = (window.size / 8).max(LEAST_GRANT_BYTES.min(window.size / 4));
        if self.ungranted == 0 || self.ungranted < step {
            return false;
        }
        let grant = std::mem::take(&mut self.ungranted);
        window.left += grant;
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

    /// Grants nothing from now on.
    pub(super) fn withhold(&mut self) {
        self.withholding = true;
    }

    pub(super) fn is_discarding(&self) -> bool {
        self.discarding
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
