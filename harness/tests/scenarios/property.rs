//! Runs a property over a range of seeds.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds of a run that names none.
const SEEDS: Range<u64> = 0..10_000;
/// Names another range, `from..to`.
const SEEDS_VARIABLE: &str = "DIALBACK_SEEDS";

/// Checks the inputs of all seeds, of up to `longest` bytes each.
///
/// # Panics
///
/// When one fails, with the least input that still does.
pub(crate) fn property(name: &str, longest: usize, check: fn(&[u8])) {
    let seeds = seeds();
    eprintln!("{name}: seeds {}..{}", seeds.start, seeds.end);
    for seed in seeds {
        let bytes = input(seed, longest);
        if fails(check, &bytes) {
            let least = shrink(check, bytes);
            eprintln!("{name}: seed {seed} fails, and so does\n{least:?}");
            check(&least);
            unreachable!("a failure that does not come again");
        }
    }
}

fn seeds() -> Range<u64> {
    let Ok(words) = std::env::var(SEEDS_VARIABLE) else {
        return SEEDS;
    };
    let range = words
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or_else(|| panic!("{SEEDS_VARIABLE} is {words:?}, not a range such as 0..1000000"))
}

/// The input of a seed.
fn input(seed: u64, longest: usize) -> Vec<u8> {
    // Seeds that follow each other would else give shifted copies of one sequence.
    let mut state = mixed(seed);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    let length = usize::try_from(next()).unwrap_or(0) % longest + 1;
    (0..length).map(|_| (next() >> 8) as u8).collect()
}

fn fails(check: fn(&[u8]), bytes: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| check(bytes))).is_err()
}

/// A smaller input that fails too: without what can be left out, and with zeros for what need be nothing else.
fn shrink(check: fn(&[u8]), mut bytes: Vec<u8>) -> Vec<u8> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut length = bytes.len();
    while length > 0 {
        let mut at = 0;
        while at < bytes.len() {
            let end = (at + length).min(bytes.len());
            let mut shorter = bytes.clone();
            shorter.drain(at..end);
            let mut zeroed = bytes.clone();
            zeroed[at..end].fill(0);
            if fails(check, &shorter) {
                bytes = shorter;
            } else if zeroed != bytes && fails(check, &zeroed) {
                bytes = zeroed;
                at = end;
            } else {
                at = end;
            }
        }
        length /= 2;
    }
    let _ = std::panic::take_hook();
    bytes
}

/// The first number that SplitMix64 draws from a seed (Steele, Lea and Flood, 2014).
fn mixed(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
