//! The thread that writes the audit log.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dialback_core::audit::{Queued, Record};

use super::file::{AppendError, AuditFileError, PATIENCE};
use super::format::write_line;
use super::log::{Shared, Task};
use crate::flags::AuditFormat;

/// So many records are written at once, at most.
const BATCH: usize = 512;

/// What could not be written is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// Where lines go: the [file](super::file::AuditFile), or what tests have for it.
pub(super) trait LineOutput {
    /// Writes lines, each with its end.
    ///
    /// # Errors
    /// When not all were taken. The rest may be given again or dropped: no line is torn or doubled either way.
    fn append(&mut self, now: SystemTime, lines: &[u8]) -> Result<(), AppendError>;

    /// Opens its path again, after somebody has renamed or deleted the file. The one that was open takes no more lines.
    ///
    /// # Errors
    /// When it can't be opened. The file that is open stays in use.
    fn reopen(&mut self) -> Result<(), AuditFileError>;

    /// What has gone wrong beside the writing of lines, each once. To be asked now and then until it is `None`.
    fn poll_problem(&mut self) -> Option<AuditFileError>;

    /// How many files were put away because they were full.
    fn rotations(&self) -> u64;

    /// How many bytes of lines were taken.
    fn bytes_written(&self) -> u64;

    /// Ends it, and waits no longer than this for what goes on beside.
    ///
    /// # Errors
    /// When the rest of a line that counted as taken can't be written.
    fn close(self, patience: Duration) -> Result<(), AuditFileError>;
}

/// Takes records out of the queue and writes them, whatever it takes.
pub(super) struct Writer<O> {
    shared: Arc<Shared>,
    output: O,
    format: AuditFormat,
    server: String,
    /// What is being written.
    lines: Vec<u8>,
    /// What was counted so far.
    rotations: u64,
    bytes: u64,
}

impl<O: LineOutput> Writer<O> {
    pub(super) fn new(shared: Arc<Shared>, output: O, format: AuditFormat, server: &str) -> Self {
        Self {
            shared,
            output,
            format,
            server: server.to_owned(),
            lines: Vec::new(),
            rotations: 0,
            bytes: 0,
        }
    }

    /// Until the log ends.
    pub(super) fn run(mut self) {
        let unwritten = loop {
            match self.shared.next_task(BATCH) {
                Task::Reopen => self.reopen(),
                Task::Write(records) => {
                    let unwritten = self.write(&records);
                    if unwritten > 0 {
                        break unwritten;
                    }
                }
                Task::End => break 0,
            }
            self.tell_problems();
        };
        self.tell_problems();
        if let Err(error) = self.output.close(PATIENCE) {
            tracing::error!(%error, "audit log");
        }
        let lost = self.shared.ended(unwritten);
        if lost > 0 {
            tracing::error!(
                records = lost,
                "the audit log ends without its last records"
            );
        }
    }

    /// Writes them all; if the log ends before that can be done, so many are not.
    fn write(&mut self, records: &[Queued]) -> usize {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for queued in records {
            let record = Record {
                time: queued.time,
                sequence: queued.sequence,
                server: &self.server,
                event: &queued.event,
                omitted: queued.omitted,
            };
            write_line(self.format, &record, &mut lines);
        }
        let mut rest: &[u8] = &lines;
        let unwritten = loop {
            let failed = match self.output.append(SystemTime::now(), rest) {
                Ok(()) => None,
                Err(AppendError { taken, source }) => {
                    rest = rest.get(taken..).unwrap_or_default();
                    Some(source)
                }
            };
            self.count();
            let Some(error) = failed else {
                if self.shared.tried(None) {
                    tracing::info!("the audit log is written again");
                }
                break 0;
            };
            self.shared.metrics.failed();
            if self.shared.tried(Some(error.to_string())) {
                tracing::error!(%error, "the audit log can't be written, and is tried again every second");
            }
            self.tell_problems();
            if !self.shared.pause(RETRY) {
                break rest.iter().filter(|byte| **byte == b'\n').count();
            }
            if self.shared.takes_reopen() {
                self.reopen();
            }
        };
        let written = records.len() - unwritten;
        self.shared
            .metrics
            .written(u64::try_from(written).unwrap_or(u64::MAX));
        self.lines = lines;
        unwritten
    }

    fn reopen(&mut self) {
        match self.output.reopen() {
            Ok(()) => tracing::info!("audit log opened again"),
            Err(error) => {
                self.shared.metrics.failed();
                tracing::error!(%error, "the audit log can't be opened again, the old file stays in use");
            }
        }
    }

    fn tell_problems(&mut self) {
        while let Some(error) = self.output.poll_problem() {
            self.shared.metrics.failed();
            tracing::error!(%error, "audit log");
        }
    }

    fn count(&mut self) {
        let bytes = self.output.bytes_written();
        self.shared.metrics.wrote(bytes - self.bytes);
        self.bytes = bytes;
        let rotations = self.output.rotations();
        self.shared.metrics.rotated(rotations - self.rotations);
        self.rotations = rotations;
    }
}
