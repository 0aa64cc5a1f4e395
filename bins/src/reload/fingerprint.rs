//! Whether files hold what they did.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, Read as _};
use std::path::PathBuf;

/// More of a file is not compared; certificates are refused above this size.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Files that are looked at every so often.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    /// What is in use, or was refused.
    judged: Fingerprint,
    /// What was there at the last look, if nobody has judged it yet.
    changed: Option<Fingerprint>,
}

/// What a look at files has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing new.
    Same,
    /// They differ from before, and may go on changing.
    Settling,
    /// They changed, and are to be judged.
    Changed,
}

impl Watched {
    /// What they hold counts as judged.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        Self {
            judged: Fingerprint::of(&files),
            files,
            changed: None,
        }
    }

    /// What has changed is to be judged once it was the same twice, or at once when `asked`.
    pub(super) fn look(&mut self, asked: bool) -> Seen {
        let present = Fingerprint::of(&self.files);
        if present == self.judged {
            self.changed = None;
            return Seen::Same;
        }
        if !asked && self.changed.as_ref() != Some(&present) {
            self.changed = Some(present);
            return Seen::Settling;
        }
        self.judged = present;
        self.changed = None;
        Seen::Changed
    }
}

/// The content of some files, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint(Vec<Result<u64, io::ErrorKind>>);

impl Fingerprint {
    fn of(files: &[PathBuf]) -> Self {
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
