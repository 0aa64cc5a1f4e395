//! A log that can't be written for a while.

use std::io;
use std::sync::Mutex;
use std::time::{Instant, SystemTime};

use dialback_core::audit::AuditPolicy;
use dialback_runtime::server::AuditSink as _;
use dialback_runtime::status::AuditStatus;

use super::*;
use crate::audit::AuditLog;
use crate::audit::file::{AppendError, AuditFileError};
use crate::audit::writer::LineOutput;

/// A disk with room for so many bytes more; what does not fit is refused as a full disk does it.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Default)]
struct DiskState {
    room: usize,
    written: Vec<u8>,
}

impl Disk {
    fn with_room(room: usize) -> Self {
        let disk = Self::default();
        disk.0.lock().unwrap().room = room;
        disk
    }

    fn make_room(&self) {
        self.0.lock().unwrap().room = usize::MAX;
    }

    fn records(&self) -> Vec<serde_json::Value> {
        let written = self.0.lock().unwrap().written.clone();
        let text = String::from_utf8(written).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl LineOutput for Disk {
    fn append(&mut self, _: SystemTime, lines: &[u8]) -> Result<(), AppendError> {
        let mut state = self.0.lock().unwrap();
        let fitting = &lines[..lines.len().min(state.room)];
        let taken = fitting
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        state.written.extend_from_slice(&lines[..taken]);
        state.room -= taken;
        if taken == lines.len() {
            return Ok(());
        }
        Err(AppendError {
            taken,
            source: AuditFileError::Write {
                path: "audit.log".into(),
                source: io::Error::from(io::ErrorKind::StorageFull),
            },
        })
    }

    fn reopen(&mut self) -> Result<(), AuditFileError> {
        Ok(())
    }

    fn poll_problem(&mut self) -> Option<AuditFileError> {
        None
    }

    fn rotations(&self) -> u64 {
        0
    }

    fn bytes_written(&self) -> u64 {
        self.0.lock().unwrap().written.len() as u64
    }

    fn close(self, _: Duration) -> Result<(), AuditFileError> {
        Ok(())
    }
}

fn log(disk: &Disk, mode: AuditMode, waiting: usize) -> Arc<AuditLog> {
    let options = options(AuditOutput::Standard, mode, waiting);
    let (policy, metrics) = (AuditPolicy::default(), metrics());
    AuditLog::writing_to(disk.clone(), &options, policy, "server", metrics).unwrap()
}

/// Waits until the log says of itself what is meant: its thread tells after it has tried.
fn until(log: &AuditLog, is_so: impl Fn(&AuditStatus) -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let status = log.status();
        if is_so(&status) {
            return;
        }
        assert!(Instant::now() < end, "{status:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_was_dropped_is_counted_and_told_where_it_is_missing() {
    let disk = Disk::with_room(1000);
    let log = log(&disk, AuditMode::BestEffort, 10);
    for number in 0..5 {
        log.record(closed(number));
    }
    until(&log, |status| status.failure.is_some());
    for number in 5..50 {
        log.record(closed(number));
        assert!(log.admits(), "streams go on");
    }
    let status = log.status();
    assert!(status.dropped > 0 && !status.blocked && !status.strict);
    assert!(
        status
            .failure
            .unwrap()
            .contains("cannot write to the audit log")
    );
    disk.make_room();
    assert!(log.finish(Duration::from_secs(20)));
    let records = disk.records();
    let mut next = 1;
    let mut told = 0;
    for record in &records {
        let sequence = record["sequence"].as_u64().unwrap();
        if record["event"] == "audit.dropped" {
            told += record["records"].as_u64().unwrap();
            assert_eq!(sequence - next, record["records"].as_u64().unwrap());
        } else {
            assert_eq!(sequence, next, "a gap without a word");
        }
        next = sequence + 1;
    }
    assert_eq!(told, status.dropped);
    assert_eq!(records.len() as u64 + told, next - 1);
    assert_eq!(records[0]["event"], "audit.started");
    assert_eq!(records.last().unwrap()["event"], "audit.stopped");
}

#[test]
fn a_strict_log_lets_nothing_in_until_it_is_written_again_and_loses_nothing() {
    let disk = Disk::with_room(1000);
    let log = log(&disk, AuditMode::Strict, 10);
    let mut number = 0;
    while log.admits() {
        log.record(closed(number));
        number += 1;
        assert!(number < 10_000, "it is never full");
        std::thread::yield_now();
    }
    until(&log, |status| status.failure.is_some());
    // Streams that were let in before end.
    for number in number..number + 100 {
        log.record(closed(number));
    }
    let status = log.status();
    assert!(status.blocked && status.strict);
    assert_eq!(status.dropped, 0);
    disk.make_room();
    log.reopen();
    until(&log, |status| !status.blocked);
    assert!(log.finish(Duration::from_secs(20)));
    let records = disk.records();
    assert_eq!(records.len() as u64, number + 100 + 2);
    assert_eq!(log.status().failure, None);
}

#[test]
fn an_end_that_can_not_be_written_is_told_and_does_not_wait_for_ever() {
    let disk = Disk::with_room(0);
    let log = log(&disk, AuditMode::BestEffort, 10);
    log.record(closed(1));
    until(&log, |status| status.failure.is_some());
    assert!(!log.finish(Duration::from_millis(300)));
    assert!(disk.records().is_empty());
    log.record(closed(2));
    // The start, the end and two streams.
    until(&log, |status| status.dropped >= 4);
    assert_eq!((log.status().written, log.status().dropped), (0, 4));
}
