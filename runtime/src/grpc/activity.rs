//! What the transport tells the connection above h2, which owns it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by a connection and its transport, which are always polled by the same task; atomic only because
/// tasks move between threads.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    reads: AtomicU64,
    has_streams: AtomicBool,
    too_many_pings: AtomicBool,
    holds_writes: AtomicBool,
    unflushed: AtomicBool,
}

impl Activity {
    /// Something arrived from the peer.
    pub(crate) fn count_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// How many times something arrived.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Whether any stream is open; the rule for PINGs depends on it.
    pub(crate) fn set_has_streams(&self, has_streams: bool) {
        self.has_streams.store(has_streams, Ordering::Relaxed);
    }

    pub(crate) fn has_streams(&self) -> bool {
        self.has_streams.load(Ordering::Relaxed)
    }

    /// The peer sent more PINGs than it may.
    pub(crate) fn set_too_many_pings(&self) {
        self.too_many_pings.store(true, Ordering::Relaxed);
    }

    pub(crate) fn too_many_pings(&self) -> bool {
        self.too_many_pings.load(Ordering::Relaxed)
    }

    /// Lets small writes wait for each other until this is taken back and the transport flushed.
    pub(crate) fn hold_writes(&self, hold: bool) {
        self.holds_writes.store(hold, Ordering::Relaxed);
    }

    pub(crate) fn holds_writes(&self) -> bool {
        self.holds_writes.load(Ordering::Relaxed)
    }

    /// Something was written that has not been flushed yet.
    pub(crate) fn set_unflushed(&self, unflushed: bool) {
        self.unflushed.store(unflushed, Ordering::Relaxed);
    }

    pub(crate) fn unflushed(&self) -> bool {
        self.unflushed.load(Ordering::Relaxed)
    }
}
