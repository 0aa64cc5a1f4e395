//! Random scenarios against the model.
//!
//! Every property runs the same 10,000 seeds. `DIALBACK_SEEDS=from..to` runs those instead and prints them; a seed
//! that fails is printed with the least input that fails alike.

mod property;

use dialback_harness::scenario::{Rules, check};
use property::property;

#[test]
fn any_scenario_keeps_what_the_model_knows() {
    property("any scenario", 400, |bytes| check(Rules::Any, bytes));
}

#[test]
fn no_stream_ends_while_every_session_is_resumed() {
    property("always resumed", 400, |bytes| {
        check(Rules::AlwaysResumed, bytes);
    });
}

#[test]
fn everybody_gets_on_with_little_memory() {
    property("short of memory", 400, |bytes| {
        check(Rules::ShortOfMemory, bytes);
    });
}
