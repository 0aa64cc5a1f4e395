//! Where the time of a test begins.

use std::time::Instant;

/// The one epoch of a test; all else is an offset from it.
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}
