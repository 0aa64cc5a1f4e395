//! The thread that writes the audit log.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dialback_core::audit::{Queued, Record};

use super::file::{AppendError, AuditFile, AuditFileError};
use super::format::write_line;
use super::log::{Shared, Task};
use crate::flags::AuditFormat;

/// So many records are written at once, at most.
const BATCH: usize = 512;

/// What could not be written is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// How long the end waits for full files that are being compressed.
const COMPRESSION_PATIENCE: Duration = Duration::from_secs(2);

/// Where lines go: the file, or what tests have for it.
pub(super) trait Output {
    /// As [`AuditFile::append`].
    fn append(&mut self, now: SystemTime, lines: &[u8]) -> Result<(), AppendError>;

    /// As [`AuditFile::reopen`].
    fn reopen(&mut self) -> Result<(), AuditFileError>;

    /// As [`AuditFile::poll_problem`].
    fn poll_problem(&mut self) -> Option<AuditFileError>;

    /// As [`AuditFile::rotations`].
    fn rotations(&self) -> u64;

    /// As [`AuditFile::bytes_written`].
    fn bytes_written(&self) -> u64;

    /// As [`AuditFile::close`].
    fn close(self, patience: Duration) -> Result<(), AuditFileError>;
}

impl Output for AuditFile {
    fn append(&mut self, now: SystemTime, lines: &[u8]) -> Result<(), AppendError> {
        self.append(now, lines)
    }

    fn reopen(&mut self) -> Result<(), AuditFileError> {
        self.reopen()
    }

    fn poll_problem(&mut self) -> Option<AuditFileError> {
        self.poll_problem()
    }

    fn rotations(&self) -> u64 {
        self.rotations()
    }

    fn bytes_written(&self) -> u64 {
        self.bytes_written()
    }

    fn close(self, patience: Duration) -> Result<(), AuditFileError> {
        self.close(patience)
    }
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

impl<O: Output> Writer<O> {
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
        if let Err(error) = self.output.close(COMPRESSION_PATIENCE) {
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
        for _ in self.rotations..rotations {
            self.shared.metrics.rotated();
        }
        self.rotations = rotations;
    }
}
