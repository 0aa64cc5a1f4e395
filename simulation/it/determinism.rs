//! One seed, one run.

use std::process::Command;

use crate::echo::echo;

/// What the child process writes before the digest of its run.
const DIGEST: &str = "digest of the run: ";

#[test]
fn a_seed_gives_the_same_event_log_again() {
    for seed in 0..10 {
        let (first, second) = (echo(seed, false), echo(seed, false));
        assert!(first.len() > 1000);
        assert_eq!(first.difference(&second), None, "seed {seed}");
    }
    assert!(echo(0, false).difference(&echo(1, false)).is_some());
}

/// Other keys, other hash states, other addresses in memory.
#[test]
fn a_seed_gives_the_same_event_log_in_another_process() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "determinism::a_run_for_another_process"])
        .args(["--ignored", "--nocapture"])
        .output()
        .unwrap();
    let written = String::from_utf8_lossy(&child.stderr);
    let digest = written.lines().find_map(|line| line.strip_prefix(DIGEST));
    let expected = echo(7, false).digest().to_string();
    assert_eq!(digest, Some(&*expected), "{written}");
}

#[test]
#[ignore = "run by the test above"]
fn a_run_for_another_process() {
    let digest = echo(7, false).digest();
    eprintln!("\n{DIGEST}{digest}");
}
