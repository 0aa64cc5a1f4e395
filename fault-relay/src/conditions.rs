//! What a direction of the path is like.

use std::num::NonZeroU64;
use std::time::Duration;

/// What one direction of the path is like; the default is as good as the loopback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Nothing passes, and nothing is taken from who sends.
    pub frozen: bool,
    /// How much later bytes arrive.
    pub delay: Duration,
    /// How much passes per second, in bytes; `None` for no limit.
    pub bytes_per_second: Option<NonZeroU64>,
}
