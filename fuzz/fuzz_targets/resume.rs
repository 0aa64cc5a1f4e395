//! See `dialback_harness::fuzzed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dialback_harness::fuzzed::run("resume", data));
