//! What is linked: tokio's traits, and nothing of its runtime.

use std::process::Command;

/// Features of tokio that bring in its runtime or a part of it.
const RUNTIME: [&str; 9] = [
    "full",
    "fs",
    "net",
    "process",
    "rt",
    "rt-multi-thread",
    "signal",
    "test-util",
    "time",
];

#[test]
fn no_runtime_of_tokios_is_linked() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked"])
        .args(["--package", "dialback-smol"])
        .args(["--edges", "normal,features", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo, which built this test, runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree failed: {errors}");
    let tree = String::from_utf8_lossy(&output.stdout);
    let features: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.strip_prefix("tokio feature \""))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(feature, _)| feature)
        .collect();
    assert!(features.contains(&"io-util"), "of tokio: {features:?}");
    for feature in RUNTIME {
        assert!(
            !features.contains(&feature),
            "tokio's {feature:?} is linked"
        );
    }
    assert!(!tree.contains("\nmio "), "tokio's reactor is linked");
}
