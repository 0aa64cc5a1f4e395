//! Random scenarios against the model.

use dialback_harness::scenario::check;
use quickcheck::{Gen, QuickCheck};

#[test]
fn any_scenario_keeps_what_the_model_knows() {
    fn keeps(bytes: Vec<u8>) {
        check(&bytes);
    }
    QuickCheck::new()
        .rng(Gen::new(400))
        .tests(300)
        .quickcheck(keeps as fn(Vec<u8>));
}
