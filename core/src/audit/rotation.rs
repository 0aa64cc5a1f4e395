//! When the log begins a new file, what the old one is called then, and which old ones are compressed or deleted.
//!
//! Names and rules are those that operators know of kube-apiserver's `--audit-log-maxsize`, `-maxbackup`, `-maxage`
//! and `-compress`. Source: lumberjack v2, `lumberjack.go`, which kube-apiserver writes its audit log with.
//!
//! Nothing here touches a file: sizes, names in a directory and the time come in, what to do comes out.

mod stamp;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

pub use stamp::Stamp;

/// The size of a file where none was asked for: 100 MiB, as lumberjack's.
pub const DEFAULT_MAX_BYTES: u64 = 100 << 20;

/// A rotation that was refused is not tried again before this has passed: each try costs a few system calls, and is told of.
const RETRY: Duration = Duration::from_secs(10);

/// Backups so far ahead of the clock are taken for written before it was set back a little; a new one comes behind them.
const CLOCK_STEP: Duration = Duration::from_secs(60 * 60);

/// Decides when a file is full.
#[derive(Clone, Debug)]
pub struct Rotation {
    max_bytes: u64,
    refused: Option<SystemTime>,
}

/// What is to be done with lines that are there to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes of them, which are whole lines, go into the file as it is.
    Write(usize),
    /// The file has no room for the first of them: a new one is to be begun.
    Rotate,
}

impl Rotation {
    /// Files of at most `max_bytes`, where zero asks for [`DEFAULT_MAX_BYTES`]. A longer line gets a file of its own.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes: match max_bytes {
                0 => DEFAULT_MAX_BYTES,
                asked => asked,
            },
            refused: None,
        }
    }

    /// What becomes of `lines`, which end where a line does, when the file has `file_bytes`.
    ///
    /// Never [`Step::Rotate`] for an empty file, nor soon after a rotation was refused. Never `Step::Write(0)`, unless
    /// there are no lines.
    #[must_use]
    pub fn step(&self, now: SystemTime, file_bytes: u64, lines: &[u8]) -> Step {
        if self.waits_after_refusal(now) {
            return Step::Write(lines.len());
        }
        let room = self.max_bytes.saturating_sub(file_bytes);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        match lines.get(..room) {
            None => Step::Write(lines.len()),
            Some(_) if room == lines.len() => Step::Write(room),
            Some(fitting) => match fitting.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => Step::Write(end + 1),
                None if file_bytes > 0 => Step::Rotate,
                None => Step::Write(first_line(lines)),
            },
        }
    }

    /// A rotation that was due could not be done: lines go on into the file there is, and another is due in ten seconds.
    pub fn refuse(&mut self, now: SystemTime) {
        self.refused = Some(now);
    }

    fn waits_after_refusal(&self, now: SystemTime) -> bool {
        // A clock that was set back doesn't make it wait for longer.
        let passed = self
            .refused
            .and_then(|refused| now.duration_since(refused).ok());
        passed.is_some_and(|passed| passed < RETRY)
    }
}

/// The bytes of the first line, its end included.
fn first_line(lines: &[u8]) -> usize {
    let end = lines.iter().position(|byte| *byte == b'\n');
    end.map_or(lines.len(), |end| end + 1)
}

/// A file that the log was once written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backup {
    /// When it was put away.
    pub stamp: Stamp,
    /// What it is now.
    pub form: Form,
}

/// The forms that a backup takes, each by its end of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it was written.
    Plain,
    /// With `.gz` behind the name.
    Compressed,
    /// With `.gz.tmp` behind the name: being compressed, or left from when that was interrupted.
    Partial,
}

impl Form {
    const ALL: [Self; 3] = [Self::Plain, Self::Compressed, Self::Partial];

    fn ending(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Compressed => ".gz",
            Self::Partial => ".gz.tmp",
        }
    }
}

/// How the backups of one log are called: `audit-2026-11-24T01-30-00.000.log` for `audit.log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupNames {
    prefix: String,
    extension: String,
}

impl BackupNames {
    /// Those of the log whose file is called so, without its directory. What follows the last dot, and be it the only one,
    /// is the extension.
    #[must_use]
    pub fn of(file_name: &str) -> Self {
        let dot = file_name.rfind('.').unwrap_or(file_name.len());
        let (stem, extension) = file_name.split_at(dot);
        Self {
            prefix: format!("{stem}-"),
            extension: extension.to_owned(),
        }
    }

    /// The name of a backup.
    #[must_use]
    pub fn name(&self, backup: Backup) -> String {
        let Self { prefix, extension } = self;
        format!(
            "{prefix}{}{extension}{}",
            backup.stamp,
            backup.form.ending()
        )
    }

    /// The backup of this name; `None` for everything that [`BackupNames::name`] doesn't give.
    #[must_use]
    pub fn parse(&self, name: &str) -> Option<Backup> {
        let name = name.strip_prefix(&self.prefix)?;
        let (stamp, rest) = name.split_at_checked(Stamp::TEXT_BYTES)?;
        let ending = rest.strip_prefix(&self.extension)?;
        let form = Form::ALL.into_iter().find(|form| form.ending() == ending)?;
        Some(Backup {
            stamp: Stamp::parse(stamp)?,
            form,
        })
    }
}

/// Which backups stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest; `None` and zero for all. A backup that is there in two forms is one.
    pub max_backups: Option<usize>,
    /// Those put away no longer ago, by the time in their name; `None` and zero for all.
    pub max_age: Option<Duration>,
    /// Whether those that stay are compressed.
    pub compress: bool,
}

/// Something to be done with a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupTask {
    /// Delete this file.
    Delete(Backup),
    /// Compress the plain file of this time. A compressed one that is there already is from an attempt that was interrupted
    /// before the plain one was deleted, and is replaced.
    Compress(Stamp),
}

impl Retention {
    /// What is to be done when these are all backups that there are: first deleting, then compressing, oldest first.
    #[must_use]
    pub fn tasks(
        &self,
        now: SystemTime,
        backups: impl IntoIterator<Item = Backup>,
    ) -> Vec<BackupTask> {
        let mut by_time: BTreeMap<Stamp, Vec<Form>> = BTreeMap::new();
        let mut delete = Vec::new();
        for backup in backups {
            match backup.form {
                // Left over: the thread that asks is the one that compresses.
                Form::Partial => delete.push(BackupTask::Delete(backup)),
                Form::Plain | Form::Compressed => {
                    by_time.entry(backup.stamp).or_default().push(backup.form);
                }
            }
        }
        let excess = match self.max_backups {
            None | Some(0) => 0,
            Some(most) => by_time.len().saturating_sub(most),
        };
        let cutoff = match self.max_age {
            None | Some(Duration::ZERO) => None,
            Some(age) => now.checked_sub(age).map(Stamp::at),
        };
        let mut compress = Vec::new();
        for (position, (stamp, forms)) in by_time.into_iter().enumerate() {
            if position < excess || cutoff.is_some_and(|cutoff| stamp < cutoff) {
                let backups = forms.into_iter().map(|form| Backup { stamp, form });
                delete.extend(backups.map(BackupTask::Delete));
            } else if self.compress && forms.contains(&Form::Plain) {
                compress.push(BackupTask::Compress(stamp));
            }
        }
        delete.append(&mut compress);
        delete
    }
}

#[cfg(test)]
mod tests;
