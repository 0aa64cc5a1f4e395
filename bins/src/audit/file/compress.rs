//! Backups as gzip.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dialback_core::audit::{Backup, Form, Stamp};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::error::AuditFileError;
use super::output::{FILE_MODE, is_at, take_after};
use super::place::Place;

/// So much is read between two looks at whether to stop.
const CHUNK_BYTES: usize = 64 << 10;

/// A file that nobody else writes to or compresses, as long as this lives.
#[derive(Debug)]
pub(super) struct Locked(File);

impl Locked {
    /// `None` when somebody is at it. Where there are no locks, it is taken for free.
    pub(super) fn new(file: File) -> Option<Self> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Ok(()) | Err(TryLockError::Error(_)) => Some(Self(file)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A child process that is just being started has the descriptor, too, and would keep the lock.
        let _ = self.0.unlock();
    }
}

/// Replaces a plain backup by a compressed one. At every moment one of the two is there, whole.
///
/// One that somebody still writes to is left for another time, and so is everything when it is to stop.
pub(super) fn compress(
    place: &Place,
    stamp: Stamp,
    is_to_stop: &AtomicBool,
) -> Result<(), AuditFileError> {
    let path = |form| place.path(Backup { stamp, form });
    let [plain, compressed, partial] = [Form::Plain, Form::Compressed, Form::Partial].map(path);
    let done = || -> io::Result<()> {
        // Locks on NFS want a file that is open for writing.
        let file = OpenOptions::new().read(true).write(true).open(&plain);
        let Some(locked) = Locked::new(file.or_else(|_| File::open(&plain))?) else {
            return Ok(());
        };
        if !is_at(&locked.0, &plain) {
            // Another process was faster.
            return Ok(());
        }
        let written = write_compressed(&locked.0, &partial, is_to_stop);
        if !matches!(written, Ok(true)) {
            let _ = fs::remove_file(&partial);
            return written.map(|_| ());
        }
        fs::rename(&partial, &compressed)?;
        // The name has to be on the disk before the other one goes.
        File::open(place.directory())?.sync_all()?;
        fs::remove_file(&plain)
    };
    match done() {
        // Somebody has deleted it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !plain.exists() => Ok(()),
        done => done.map_err(|source| AuditFileError::Compress {
            path: plain,
            source,
        }),
    }
}

/// Whether it is done: not when it was to stop, or when somebody has written to the file meanwhile.
fn write_compressed(mut file: &File, to: &Path, is_to_stop: &AtomicBool) -> io::Result<bool> {
    let output = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(to)?;
    let mut encoder = GzEncoder::new(output, Compression::default());
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        if is_to_stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => {
                encoder.write_all(&chunk[..read])?;
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let output = encoder.finish()?;
    let metadata = file.metadata()?;
    take_after(&output, &metadata);
    output.sync_all()?;
    Ok(metadata.len() == bytes)
}
