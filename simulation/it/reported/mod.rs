//! What users of Konnectivity reported, replayed: each test is named for what it shows, and says which report.

mod dials;
mod ends;
mod isolation;
mod rollout;
mod vanish;

use dialback_simulation::{Seeds, Simulation, for_each_seed};

/// A few seeds: other jitter, other orders of tasks.
const SEEDS: Seeds = Seeds {
    fixed: 0..3,
    once_failed: &[],
    fresh: 1,
};

/// Replays a report.
fn replay(test: &str, scenario: impl AsyncFn(&Simulation)) {
    for_each_seed(&format!("reported::{test}"), SEEDS, scenario);
}
