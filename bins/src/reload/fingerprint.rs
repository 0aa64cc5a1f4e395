//! Whether files hold what they did.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _};
use std::path::PathBuf;

/// More of a file is not compared; certificates are refused above this size.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The content of some files, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<Result<u64, io::ErrorKind>>);

impl Fingerprint {
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let content = |path| -> io::Result<u64> {
            let mut bytes = Vec::new();
            File::open(path)?
                .take(MAX_BYTES + 1)
                .read_to_end(&mut bytes)?;
            let mut hasher = DefaultHasher::new();
            hasher.write(&bytes);
            Ok(hasher.finish())
        };
        let of = |path| content(path).map_err(|error| error.kind());
        Self(files.iter().map(of).collect())
    }
}
