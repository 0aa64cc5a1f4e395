//! Full disks, and files that can't be renamed or begun.

use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_setfl};

use super::*;
use crate::audit::file::lines::Sink;
use crate::audit::file::output::Opened;

/// The last millisecond that there is a name for.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

#[test]
fn a_full_device_takes_nothing_and_says_so() {
    let log = Log::new();
    let options = AuditFileOptions {
        path: "/dev/full".into(),
        ..log.options(1)
    };
    let mut file = AuditFile::open(options).expect("it opens");
    let error = file.append(now(), b"one\ntwo\n").expect_err("it is full");
    assert_eq!(error.taken, 0);
    assert_eq!(
        error.to_string(),
        "cannot write to the audit log /dev/full: No space left on device (os error 28): make room for it, or have its file replaced and send SIGHUP"
    );
    assert_eq!((file.bytes_written(), file.rotations()), (0, 0));
    file.reopen().expect("the same");
    close(file);
}

/// A stream that doesn't wait for who reads it.
fn pipe() -> (PipeReader, Output) {
    let (reader, writer) = io::pipe().expect("a pipe");
    let descriptor = OwnedFd::from(writer);
    fcntl_setfl(&descriptor, OFlags::NONBLOCK).expect("a pipe");
    (reader, Output::Stream(File::from(descriptor)))
}

const LINE_BYTES: usize = 1001;

fn lines(count: usize) -> String {
    format!("{}\n", "x".repeat(LINE_BYTES - 1)).repeat(count)
}

/// Lines go into a pipe that nobody reads, until it is full within one. Says how many were taken.
fn fill(log: &Log) -> (AuditFile, PipeReader, usize) {
    let (reader, output) = pipe();
    let mut file = log.open(0);
    file.lines.go_on_with(output, false);
    // More than a pipe holds, in lines of which none ends where it is full.
    let appended = file.append(now(), lines(200).as_bytes());
    let error = appended.expect_err("nobody reads");
    assert_eq!(error.taken % LINE_BYTES, 0);
    (file, reader, error.taken / LINE_BYTES)
}

/// Reads all lines that are whole in there.
fn drain(reader: &mut PipeReader, whole: usize) -> Vec<u8> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    while received.len() < whole * LINE_BYTES {
        let read = reader.read(&mut chunk).expect("what was written");
        received.extend_from_slice(&chunk[..read]);
    }
    received
}

#[test]
fn a_stream_that_stops_is_gone_on_with_within_the_line() {
    let log = Log::new();
    let (mut file, mut reader, taken) = fill(&log);
    assert!(taken < 200);
    let mut received = drain(&mut reader, taken - 1);
    // The rest is dropped, and what counts as taken comes whole.
    append(&mut file, "the end\n");
    close(file);
    reader.read_to_end(&mut received).expect("the rest");
    assert!(received == format!("{}the end\n", lines(taken)).as_bytes());
}

#[test]
fn the_end_brings_the_rest_of_a_line() {
    let log = Log::new();
    let (file, mut reader, taken) = fill(&log);
    let mut received = drain(&mut reader, taken - 1);
    close(file);
    reader.read_to_end(&mut received).expect("the rest");
    assert!(received == lines(taken).as_bytes());

    let (file, _reader, _) = fill(&log);
    file.close(LONG).expect_err("nobody reads");
}

#[test]
fn the_rest_of_a_line_goes_where_its_beginning_is_if_it_can() {
    let log = Log::new();
    let (mut file, mut reader, taken) = fill(&log);
    let mut received = drain(&mut reader, taken - 1);
    file.reopen().expect("it opens");
    append(&mut file, "the end\n");
    reader.read_to_end(&mut received).expect("the rest");
    assert!(received == lines(taken).as_bytes());
    assert_eq!(log.read("audit.log"), "the end\n");
}

#[test]
fn a_line_that_can_not_be_finished_is_whole_in_the_file_that_is_opened_next() {
    let log = Log::new();
    let (mut file, _reader, _) = fill(&log);
    file.reopen().expect("it opens");
    append(&mut file, "the end\n");
    assert_eq!(log.read("audit.log"), format!("{}the end\n", lines(1)));
}

/// The log's file, with a part of a line written.
fn with_half_a_line(log: &Log) -> Output {
    let mut output = Opened::at(&log.path("audit.log")).expect("it opens").output;
    output.write_all(b"one\n").expect("room");
    output.write_all(b"tw").expect("room");
    output
}

fn cut_back(output: &mut Output, bytes: usize) -> io::Result<()> {
    Sink::cut_back(output, bytes)
}

#[test]
fn half_a_line_is_cut_off_a_file_and_written_anew() {
    let log = Log::new();
    let mut output = with_half_a_line(&log);
    cut_back(&mut output, 2).expect("our own");
    assert_eq!(log.read("audit.log"), "one\n");
    output.write_all(b"two\n").expect("room");
    assert_eq!(log.read("audit.log"), "one\ntwo\n");
}

#[test]
fn nothing_is_cut_off_that_others_wrote_or_have_cut_off_already() {
    let log = Log::new();
    log.put("audit.log", "theirs\n");
    let mut output = with_half_a_line(&log);
    let too_much = "theirs\none\ntw".len();
    cut_back(&mut output, too_much).expect_err("not all of it is ours");

    let append = || OpenOptions::new().append(true).open(log.path("audit.log"));
    let mut other = append().expect("a file");
    other.write_all(b"also theirs\n").expect("room");
    cut_back(&mut output, 2).expect_err("it isn't the last");
    output.write_all(b"o\n").expect("room");
    cut_back(&mut output, 4).expect_err("theirs is between");
    assert_eq!(log.read("audit.log"), "theirs\none\ntwalso theirs\no\n");

    log.put("audit.log", "");
    cut_back(&mut output, 2).expect_err("it is gone");
    assert_eq!(log.read("audit.log"), "");
}

#[test]
fn without_a_name_for_the_backup_lines_go_on_into_the_file() {
    let log = Log::new();
    let end = SystemTime::UNIX_EPOCH + LAST;
    log.put("audit-9999-12-31T23-59-59.999.log", "old\n");
    let mut file = log.open(4);
    for line in ["one\n", "two\n", "six\n"] {
        file.append(end, line.as_bytes()).expect("it is taken");
    }
    assert_eq!(log.read("audit.log"), "one\ntwo\nsix\n");
    assert_eq!(log.read("audit-9999-12-31T23-59-59.999.log"), "old\n");
    // Told once, until it is tried again.
    let problem = file.poll_problem().expect("it was refused");
    let expected = format!(
        "cannot rename the audit log {} to a backup, it grows past its size: entity already exists: let this process write to the directory",
        log.path("audit.log").display()
    );
    assert_eq!(problem.to_string(), expected);
    assert_no_problems(&mut file);

    fs::remove_file(log.path("audit-9999-12-31T23-59-59.999.log")).expect("a file");
    let later = end + Duration::from_secs(10);
    file.append(later, b"ten\n").expect("it is taken");
    assert_eq!(log.read("audit.log"), "ten\n");
    assert_eq!(
        log.read("audit-9999-12-31T23-59-59.999.log"),
        "one\ntwo\nsix\n"
    );
    assert_eq!(file.rotations(), 1);
}

#[test]
fn without_a_new_file_the_old_one_gets_its_name_back() {
    let log = Log::new();
    log.put("audit.log", "one\n");
    let place = Place::new(log.path("audit.log")).expect("a name");
    let rotated = place.rotate(now(), |_| Err(io::ErrorKind::QuotaExceeded.into()));
    let error = rotated.expect_err("it can't be made");
    assert!(matches!(error, AuditFileError::Begin { .. }), "{error}");
    assert_eq!(log.names(), ["audit.log"]);
    assert_eq!(log.read("audit.log"), "one\n");
}

#[test]
fn a_full_file_whose_directory_is_gone_is_gone_on_with() {
    let log = Log::new();
    let mut file = log.open_at("folder/audit.log", 4);
    append(&mut file, "one\n");
    log.rename("folder", "moved");
    log.put("folder", "in the way");
    append(&mut file, "two\n");
    assert_eq!(log.read("moved/audit.log"), "one\ntwo\n");
    let problem = file.poll_problem().expect("it was refused");
    assert!(
        matches!(problem, AuditFileError::MakeDirectory { .. }),
        "{problem}"
    );
}
