//! Runs a scenario for one seed after the other.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use fastrand::Rng;

use crate::event_log::EventLog;
use crate::simulation::Simulation;

/// Names the seeds to be run instead of the usual ones: `from..to`.
const SEEDS_VARIABLE: &str = "DIALBACK_SEEDS";

/// Which seeds a scenario runs when nobody names others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The same in every run.
    pub fixed: Range<u64>,
    /// Run as well, since they have failed once.
    pub once_failed: &'static [u64],
    /// So many that no run had before.
    pub fresh: u64,
}

/// Runs `scenario`, the body of the test of this name, for each seed.
///
/// # Panics
/// When one fails, with the command that runs that seed again.
pub fn for_each_seed(test: &str, seeds: Seeds, scenario: impl AsyncFn(&Simulation)) {
    let ranges = match std::env::var(SEEDS_VARIABLE) {
        Ok(words) => vec![parse(&words)],
        Err(_) => {
            // Short enough to be typed.
            let from = u64::from(Rng::new().u32(1_000_000..));
            let once_failed = seeds.once_failed.iter().map(|seed| *seed..seed + 1);
            let mut ranges: Vec<_> = once_failed.collect();
            ranges.extend([seeds.fixed, from..from + seeds.fresh]);
            ranges
        }
    };
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        eprintln!("{test}: seeds {}..{}", range.start, range.end);
        for seed in range {
            run_seed(test, seed, &scenario);
        }
    }
}

fn run_seed(test: &str, seed: u64, scenario: &impl AsyncFn(&Simulation)) -> EventLog {
    let run = || Simulation::run(seed, async |simulation| scenario(simulation).await);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let next = seed.saturating_add(1);
        eprintln!(
            "seed {seed} fails; to run it again:\n    {SEEDS_VARIABLE}={seed}..{next} \
             cargo test -p dialback-simulation --test it -- --exact {test} --nocapture"
        );
        resume_unwind(panic)
    })
}

fn parse(words: &str) -> Range<u64> {
    let range = words
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or_else(|| panic!("{SEEDS_VARIABLE} is {words:?}, not a range such as 0..1000"))
}
