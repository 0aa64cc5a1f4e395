use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use flate2::read::GzDecoder;

use super::*;
use crate::tool::scratch::Scratch;

mod compression;
mod failures;
mod opening;
mod rotating;
mod storm;

/// Longer than anything takes; nothing waits for so long.
const LONG: Duration = Duration::from_secs(120);

/// 2026-11-24T01-30-00.000.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_483_800)
}

/// A directory for a log of a test's own.
struct Log {
    scratch: Scratch,
}

impl Log {
    fn new() -> Self {
        Self {
            scratch: Scratch::new("audit").expect("a folder"),
        }
    }

    /// Options for `audit.log` in there.
    fn options(&self, max_bytes: u64) -> AuditFileOptions {
        AuditFileOptions {
            path: self.path("audit.log"),
            max_bytes,
            max_age: None,
            max_backups: None,
            compress: false,
        }
    }

    fn open(&self, max_bytes: u64) -> AuditFile {
        self.open_at("audit.log", max_bytes)
    }

    fn open_at(&self, name: &str, max_bytes: u64) -> AuditFile {
        let options = AuditFileOptions {
            path: self.path(name),
            ..self.options(max_bytes)
        };
        AuditFile::open(options).expect("it opens")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("a file");
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).expect("a renamed file");
    }

    /// The names of all that is in there, in their order.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.scratch.folder()).expect("the folder");
        let mut names: Vec<String> = entries
            .map(|entry| {
                let name = entry.expect("an entry").file_name();
                name.into_string().expect("a name of ours")
            })
            .collect();
        names.sort();
        names
    }

    /// What is in a file, unpacked if it is compressed.
    fn read(&self, name: &str) -> String {
        let bytes = self.read_raw(name);
        if !name.ends_with(".gz") {
            return String::from_utf8(bytes).expect("text");
        }
        let mut text = String::new();
        let mut unpacked = GzDecoder::new(bytes.as_slice());
        unpacked.read_to_string(&mut text).expect("a gzip file");
        text
    }

    fn read_raw(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file")
    }

    fn mode(&self, name: &str) -> u32 {
        let metadata = fs::metadata(self.path(name)).expect("a file");
        metadata.permissions().mode() & 0o7777
    }
}

fn append(file: &mut AuditFile, lines: &str) {
    let appended = file.append(now(), lines.as_bytes());
    appended.expect("lines that are taken");
}

/// Closes it, after everything else is done.
fn close(file: AuditFile) {
    file.close(LONG).expect("nothing is left to write");
}

fn assert_no_problems(file: &mut AuditFile) {
    let problem = file.poll_problem();
    assert!(problem.is_none(), "{problem:?}");
}
