//! A bound on what all tunnels of a process hold for their streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all links which share it may hold; `--memory-budget`. Cloning shares it.
///
/// It counts what waits in the streams' queues both ways and what is kept for a resumption, and sets aside what
/// windows have grown by, since the peer may use that at once. No link sets aside more than half of it. Where it
/// is used up, windows stop growing and shrink, then a source is read only while nothing of its stream waits; no
/// byte is dropped and no stream ended. So it bounds what streams may take beyond their first window
/// ([`MuxConfig::receive_window_bytes`](crate::MuxConfig::receive_window_bytes)) and a chunk each way, which they
/// always have.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// 256 MiB.
    pub const DEFAULT_BYTES: usize = 256 * 1024 * 1024;

    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        Self(Arc::new(Shared {
            limit: limit_bytes,
            used: AtomicUsize::new(0),
        }))
    }

    /// Bytes held or set aside now, over all links.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The bytes that it was made with.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.0.limit
    }

    fn is_pressed(&self) -> bool {
        self.used_bytes() >= self.0.limit
    }
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

/// One link's part of a budget; given back when dropped.
#[derive(Debug)]
pub(crate) struct LinkMemory {
    budget: MemoryBudget,
    held: usize,
    reserved: u64,
}

impl LinkMemory {
    pub(crate) fn new(budget: MemoryBudget) -> Self {
        Self {
            budget,
            held: 0,
            reserved: 0,
        }
    }

    /// The budget is used up.
    pub(crate) fn is_pressed(&self) -> bool {
        self.budget.is_pressed()
    }

    /// The link holds so many bytes more.
    pub(crate) fn grow(&mut self, bytes: usize) {
        self.held += bytes;
        self.budget.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The link holds so many bytes less.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        debug_assert!(self.held >= bytes, "only what is held is let go");
        let bytes = bytes.min(self.held);
        self.held -= bytes;
        self.budget.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Sets bytes aside for a window; `false` when there is no room for them.
    pub(crate) fn reserve(&mut self, bytes: u64) -> bool {
        let limit = self.budget.0.limit as u64;
        let fits =
            self.budget.used_bytes() as u64 + bytes <= limit && self.reserved + bytes <= limit / 2;
        if fits {
            self.reserved += bytes;
            self.budget
                .0
                .used
                .fetch_add(narrow(bytes), Ordering::Relaxed);
        }
        fits
    }

    /// Bytes that were set aside are so no more.
    pub(crate) fn release(&mut self, bytes: u64) {
        debug_assert!(self.reserved >= bytes, "only what is reserved is released");
        let bytes = bytes.min(self.reserved);
        self.reserved -= bytes;
        self.budget
            .0
            .used
            .fetch_sub(narrow(bytes), Ordering::Relaxed);
    }
}

/// What fitted a budget, which is a `usize`.
fn narrow(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Drop for LinkMemory {
    fn drop(&mut self) {
        self.shrink(self.held);
        self.release(self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_sets_aside_at_most_half_and_only_what_is_free() {
        let budget = MemoryBudget::new(100);
        let (mut first, mut second) = (
            LinkMemory::new(budget.clone()),
            LinkMemory::new(budget.clone()),
        );
        assert!(first.reserve(50) && !first.reserve(1));
        second.grow(40);
        assert!(!second.reserve(11) && second.reserve(10));
        assert!(second.is_pressed() && first.is_pressed());
        first.release(1);
        assert!(!second.is_pressed());
        drop(first);
        assert_eq!(budget.used_bytes(), 50);
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }
}
