//! What the fuzz targets start from, and what they have found, on any toolchain.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dialback_harness::fuzzed::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(ending)?.to_owned()))
        .collect()
}

#[test]
fn every_file_of_the_corpora_passes_its_target() {
    for target in TARGETS {
        let folder = fuzz().join("corpus").join(target.name);
        let files = names(&folder, "");
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for file in files {
            let bytes = fs::read(folder.join(&file)).expect("a file of the corpus");
            // Named when the target panics.
            let at = format!("{}/{file}", target.name);
            let run = std::panic::catch_unwind(|| (target.run)(&bytes));
            assert!(run.is_ok(), "{at} fails");
        }
    }
}

#[test]
fn targets_and_their_corpora_are_the_same_everywhere() {
    let ours: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(names(&fuzz().join("fuzz_targets"), ".rs"), ours);
    assert_eq!(names(&fuzz().join("corpus"), ""), ours);
}
