//! The files of `deploy/`, and documents of YAML.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file below `deploy/`.
pub(crate) fn read(file: &str) -> String {
    let path = root().join("deploy").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One document of YAML, which has no key twice.
pub(crate) fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Every document of a manifest.
pub(crate) fn documents(manifest: &str) -> Vec<Value> {
    let documents = manifest.split("\n---").map(|text| {
        // Helm begins with a separator, and leaves documents of comments alone.
        text.strip_prefix("---").unwrap_or(text)
    });
    let holds = |text: &&str| {
        text.lines()
            .any(|line| !line.is_empty() && !line.starts_with('#'))
    };
    documents.filter(holds).map(yaml).collect()
}
