//! The file of the audit log: whole lines go in, and it is put away when it is full, compressed, and deleted when it is old.
//!
//! Used by one thread, and by one process for each path. What takes long, compressing, happens on a thread of its own.
//! The rules are those of [`dialback_core::audit`]. Lines that are taken are the system's: they outlast this process, but, as
//! kube-apiserver's, not all of them a loss of power.
//!
//! What may happen to it, and what becomes of the lines then:
//!
//! | what happens | what becomes of the lines |
//! | --- | --- |
//! | the disk is full | what was written of a line is cut off again; the caller is told how many bytes were taken |
//! | that can't be cut off: standard output, a pipe, a file that only grows | the line counts as taken, and its rest is the first thing that is written when that works again |
//! | a new file can't be begun | they go on into the one there is |
//! | somebody renames or deletes the file | they go on into it until [`AuditFile::reopen`], or until it is full |
//! | an earlier process ended within a line | a line's end is put behind it first |

mod backups;
mod compress;
mod error;
mod lines;
mod output;
mod place;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use dialback_core::audit::{Retention, Rotation, Step};

use super::writer::LineOutput;
use crate::flags::AuditFileOptions;
use backups::BackupThread;
pub(crate) use error::{AppendError, AuditFileError};
use lines::Lines;
use output::{Opened, Output, RegularFile};
use place::Place;

/// How long the end waits for compression that goes on, before it is left for the next start.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What messages call it.
const STANDARD_OUTPUT: &str = "(standard output)";

/// Backups are looked through at least this often, for those that have become too old.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// So many problems are kept until they are asked for.
const MAX_PROBLEMS: usize = 16;

/// The audit log, open: see the [module](self).
#[derive(Debug)]
pub(crate) struct AuditFile {
    /// `None` for standard output.
    path: Option<PathBuf>,
    lines: Lines<Output>,
    /// Where it is put away, unless it is a device or a pipe.
    place: Option<Place>,
    rotation: Rotation,
    /// `None` for standard output, and once it is closed.
    backups: Option<BackupThread>,
    /// When backups were last looked through, by the caller's clock.
    looked: Option<SystemTime>,
    problems: VecDeque<AuditFileError>,
    rotations: u64,
    bytes_written: u64,
}

impl AuditFile {
    /// Opens the file, which is made if there is none, with its directories, for the owner's eyes only.
    ///
    /// # Errors
    /// When it can't be opened.
    pub(crate) fn open(options: AuditFileOptions) -> Result<Self, AuditFileError> {
        let retention = Retention {
            max_backups: options.max_backups,
            max_age: options.max_age,
            compress: options.compress,
        };
        let opened = Opened::at(&options.path)?;
        let mut file = Self::of(opened, options.max_bytes);
        file.path = Some(options.path);
        file.backups = Some(BackupThread::start(retention)?);
        file.look_through_backups(SystemTime::now());
        Ok(file)
    }

    /// Writes to standard output, which is never full.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn standard_output() -> Result<Self, AuditFileError> {
        Ok(Self::of(Opened::standard_output()?, 0))
    }

    fn of(opened: Opened, max_bytes: u64) -> Self {
        Self {
            path: None,
            lines: Lines::new(opened.output, opened.is_torn),
            place: opened.place,
            rotation: Rotation::new(max_bytes),
            backups: None,
            looked: None,
            problems: VecDeque::new(),
            rotations: 0,
            bytes_written: 0,
        }
    }

    /// How many bytes of the lines may be written next, after a new file was begun if that was due.
    fn make_room(&mut self, now: SystemTime, lines: &[u8]) -> usize {
        // Each turn has its own reason: the file has shrunk; another stands in its place; that one is full, too.
        for _ in 0..4 {
            let Output::Regular(file) = self.lines.sink_mut() else {
                return lines.len();
            };
            match self.rotation.step(now, file.bytes(), lines) {
                Step::Write(bytes) => return bytes,
                Step::Rotate if file.has_changed_size() => {}
                Step::Rotate => {
                    if let Err(error) = self.begin_file(now) {
                        self.rotation.refuse(now);
                        if self.problems.len() < MAX_PROBLEMS {
                            self.problems.push_back(error);
                        }
                    }
                }
            }
        }
        lines.len()
    }

    /// Puts the file away and begins a new one.
    fn begin_file(&mut self, now: SystemTime) -> Result<(), AuditFileError> {
        let (Some(place), Output::Regular(file)) = (&self.place, self.lines.sink()) else {
            return Ok(());
        };
        if !place.holds(file) {
            // Somebody has put it away already.
            return self.reopen();
        }
        let output = match place.rotate(now, |path| RegularFile::create(path, file)) {
            Ok(output) => output,
            // Somebody has put it away at the same moment.
            Err(_) if !place.holds(file) => return self.reopen(),
            Err(error) => return Err(error),
        };
        self.lines.go_on_with(Output::Regular(output), false);
        self.rotations += 1;
        self.look_through_backups(now);
        Ok(())
    }

    fn look_through_backups(&mut self, now: SystemTime) {
        self.looked = Some(now);
        if let (Some(backups), Some(place)) = (&self.backups, &self.place) {
            backups.look_through(now, place);
        }
    }

    fn end(&mut self, patience: Duration) -> Result<(), AuditFileError> {
        let settled = self.lines.settle();
        if let Some(backups) = self.backups.take() {
            backups.end(patience);
        }
        settled.map_err(|source| self.write_error(source))
    }

    fn write_error(&self, source: io::Error) -> AuditFileError {
        let path = self.path.clone();
        let path = path.unwrap_or_else(|| STANDARD_OUTPUT.into());
        AuditFileError::Write { path, source }
    }
}

impl LineOutput for AuditFile {
    /// The file is put away first, or in between, where the next line would make it too large;
    /// [`AuditFile::poll_problem`] tells if that can't be done.
    fn append(&mut self, now: SystemTime, lines: &[u8]) -> Result<(), AppendError> {
        debug_assert!(
            lines.last().is_none_or(|last| *last == b'\n'),
            "lines are given whole"
        );
        let is_time = match self.looked.map(|looked| now.duration_since(looked)) {
            Some(Ok(since)) => since >= LOOK_INTERVAL,
            Some(Err(_)) | None => true,
        };
        if is_time {
            self.look_through_backups(now);
        }
        let mut rest = lines;
        while !rest.is_empty() {
            let written = match self.lines.settle() {
                Ok(()) => {
                    let bytes = self.make_room(now, rest);
                    self.lines.write(rest.split_at(bytes).0)
                }
                Err(source) => Err((0, source)),
            };
            let taken = match &written {
                Ok(taken) | Err((taken, _)) => *taken,
            };
            self.bytes_written += taken as u64;
            rest = rest.split_at(taken).1;
            if let Err((_, source)) = written {
                return Err(AppendError {
                    taken: lines.len() - rest.len(),
                    source: self.write_error(source),
                });
            }
        }
        Ok(())
    }

    /// Of standard output there is nothing to open.
    fn reopen(&mut self) -> Result<(), AuditFileError> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        // The old file gets the rest of its last line. Where that can't be written, the new one gets the whole line.
        let _ = self.lines.settle();
        let opened = Opened::at(path)?;
        self.place = opened.place;
        if !self.lines.sink().is_same(&opened.output) {
            self.lines.go_on_with(opened.output, opened.is_torn);
        }
        Ok(())
    }

    /// A file that can't be put away, a backup that can't be compressed or deleted.
    fn poll_problem(&mut self) -> Option<AuditFileError> {
        let backups = self.backups.as_ref();
        self.problems
            .pop_front()
            .or_else(|| backups.and_then(BackupThread::poll_problem))
    }

    fn rotations(&self) -> u64 {
        self.rotations
    }

    fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Backups that aren't compressed within that time are at the next start. Dropping it does the same, and waits for
    /// [`PATIENCE`].
    fn close(mut self, patience: Duration) -> Result<(), AuditFileError> {
        self.end(patience)
    }
}

impl Drop for AuditFile {
    fn drop(&mut self) {
        let _ = self.end(PATIENCE);
    }
}
