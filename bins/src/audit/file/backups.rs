//! The thread that deletes and compresses backups.

use std::fs::{self, File};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use dialback_core::audit::{Backup, BackupTask, Form, Retention};

use super::MAX_PROBLEMS;
use super::compress::{Locked, compress};
use super::error::AuditFileError;
use super::place::Place;

/// Tidies backups up, one after the other, while lines are being written.
#[derive(Debug)]
pub(super) struct BackupThread {
    /// What it is to look through when the bell has rung.
    next: Arc<Mutex<Option<Look>>>,
    bell: SyncSender<()>,
    /// Disconnected once the thread has ended.
    problems: Receiver<AuditFileError>,
    is_to_stop: Arc<AtomicBool>,
}

/// Which backups to look through.
#[derive(Debug)]
struct Look {
    now: SystemTime,
    place: Place,
}

impl BackupThread {
    pub(super) fn start(retention: Retention) -> Result<Self, AuditFileError> {
        let next: Arc<Mutex<Option<Look>>> = Arc::default();
        let (bell, rings) = sync_channel(1);
        let (reports, problems) = sync_channel(MAX_PROBLEMS);
        let is_to_stop = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_to_stop);
        let asked = Arc::clone(&next);
        let run = move || {
            for () in rings {
                let look = lock(&asked).take();
                let is_over = || stop.load(Ordering::Relaxed) || lock(&asked).is_some();
                let tidied = look.map(|look| look.tidy(&retention, &stop, is_over, &reports));
                if let Some(Err(error)) = tidied {
                    let _ = reports.try_send(error);
                }
            }
        };
        let thread = thread::Builder::new().name("audit-backups".to_owned());
        thread
            .spawn(run)
            .map_err(|source| AuditFileError::Thread { source })?;
        Ok(Self {
            next,
            bell,
            problems,
            is_to_stop,
        })
    }

    /// Has all backups looked through, some time: once for all that asked meanwhile.
    pub(super) fn look_through(&self, now: SystemTime, place: &Place) {
        let place = place.clone();
        *lock(&self.next) = Some(Look { now, place });
        let _ = self.bell.try_send(());
    }

    /// The next problem, if there is one.
    pub(super) fn poll_problem(&self) -> Option<AuditFileError> {
        self.problems.try_recv().ok()
    }

    /// Lets it finish what it was asked for, within this time; then it gives up what it is at as soon as it can.
    pub(super) fn end(self, patience: Duration) {
        drop(self.bell);
        let start = Instant::now();
        loop {
            let left = patience.saturating_sub(start.elapsed());
            match self.problems.recv_timeout(left) {
                // Nobody is left to be told: the next start will meet it again.
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        self.is_to_stop.store(true, Ordering::Relaxed);
    }
}

/// What waits behind a lock. Nobody panics holding it.
fn lock(next: &Mutex<Option<Look>>) -> MutexGuard<'_, Option<Look>> {
    next.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Look {
    /// Deletes what is to go, and compresses what stays until `is_over`, yet one at least: when backups come faster than
    /// they are compressed, those that are too many don't wait for it.
    fn tidy(
        &self,
        retention: &Retention,
        is_to_stop: &AtomicBool,
        is_over: impl Fn() -> bool,
        reports: &SyncSender<AuditFileError>,
    ) -> Result<(), AuditFileError> {
        let list = |source| AuditFileError::List {
            path: self.place.directory().to_owned(),
            source,
        };
        let backups = self.place.backups().map_err(list)?;
        let files = backups.into_iter().filter(|backup| {
            let metadata = fs::symlink_metadata(self.place.path(*backup));
            metadata.is_ok_and(|metadata| metadata.is_file())
        });
        for task in retention.tasks(self.now, files) {
            let (done, is_compressed) = match task {
                BackupTask::Delete(backup) => (self.delete(backup), false),
                BackupTask::Compress(stamp) => (compress(&self.place, stamp, is_to_stop), true),
            };
            if let Err(error) = done {
                let _ = reports.try_send(error);
            }
            if is_compressed && is_over() {
                break;
            }
        }
        Ok(())
    }

    fn delete(&self, backup: Backup) -> Result<(), AuditFileError> {
        let plain = self.place.path(Backup {
            form: Form::Plain,
            ..backup
        });
        // Another process, which is ending, may be compressing; what it is at isn't left over.
        let _lock = match (backup.form, File::open(plain)) {
            (Form::Partial, Ok(file)) => match Locked::new(file) {
                Some(locked) => Some(locked),
                None => return Ok(()),
            },
            (Form::Partial, Err(_)) | (Form::Plain | Form::Compressed, _) => None,
        };
        let path = self.place.path(backup);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| AuditFileError::Delete { path, source }),
        }
    }
}
