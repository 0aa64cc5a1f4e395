//! The defects of the reference, named as in the project's list of them, each shown to be absent.

mod ends;
mod fleet;
mod isolation;
mod limits;
mod pending_dials;
mod slow_readers;

use std::time::Duration;

/// Enough for everything that is not held up by somebody.
const A_SECOND: Duration = Duration::from_secs(1);

/// Bytes that differ at every place, so that none can be mistaken for another.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at as u32).wrapping_mul(0x9E37_79B1).to_be_bytes()[0])
        .collect()
}
