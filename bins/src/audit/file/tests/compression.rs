//! Backups become gzip files, whatever interrupts that.

use std::fs::OpenOptions;
use std::sync::atomic::AtomicBool;

use dialback_core::audit::Stamp;

use super::*;
use crate::audit::file::compress::compress;

const PLAIN: &str = "audit-2026-11-24T01-30-00.000.log";
const COMPRESSED: &str = "audit-2026-11-24T01-30-00.000.log.gz";
const PARTIAL: &str = "audit-2026-11-24T01-30-00.000.log.gz.tmp";

fn compressing(log: &Log, max_bytes: u64) -> AuditFile {
    let options = AuditFileOptions {
        compress: true,
        ..log.options(max_bytes)
    };
    AuditFile::open(options).expect("it opens")
}

#[test]
fn a_file_that_is_put_away_is_compressed() {
    let log = Log::new();
    let mut file = compressing(&log, 4);
    append(&mut file, "one\ntwo\n");
    close(file);
    assert_eq!(log.names(), [COMPRESSED, "audit.log"]);
    assert_eq!(log.read(COMPRESSED), "one\n");
    assert_eq!(log.mode(COMPRESSED), 0o600);
}

#[test]
fn what_was_not_compressed_is_at_the_next_start() {
    let log = Log::new();
    let content = "a line that is there many times\n".repeat(10_000);
    log.put(PLAIN, &content);
    close(compressing(&log, 0));
    assert_eq!(log.names(), [COMPRESSED, "audit.log"]);
    assert!(log.read(COMPRESSED) == content);
    let size = fs::metadata(log.path(COMPRESSED)).expect("a file").len();
    assert!(size < 5000, "{size}");
}

#[test]
fn what_an_interrupted_compression_left_is_begun_anew() {
    // Before the compressed file had its name, and before the plain one was deleted.
    for leftover in [PARTIAL, COMPRESSED] {
        let log = Log::new();
        log.put(PLAIN, "one\n");
        log.put(leftover, "half a gzip fi");
        close(compressing(&log, 0));
        assert_eq!(log.names(), [COMPRESSED, "audit.log"], "{leftover}");
        assert_eq!(log.read(COMPRESSED), "one\n", "{leftover}");
    }
}

#[test]
fn leftovers_go_when_nothing_is_compressed_any_more() {
    let log = Log::new();
    log.put(PLAIN, "one\n");
    log.put(PARTIAL, "half a gzip fi");
    close(log.open(0));
    assert_eq!(log.names(), [PLAIN, "audit.log"]);
}

#[test]
fn what_is_told_to_stop_leaves_the_backup_as_it_is() {
    let log = Log::new();
    log.put(PLAIN, "one\n");
    let place = Place::new(log.path("audit.log")).expect("a name");
    let stamp = Stamp::at(now());
    compress(&place, stamp, &AtomicBool::new(true)).expect("it stops");
    assert_eq!(log.names(), [PLAIN]);
    compress(&place, stamp, &AtomicBool::new(false)).expect("it compresses");
    assert_eq!(log.names(), [COMPRESSED]);
}

#[test]
fn a_backup_that_is_still_written_to_is_left_until_it_is_not() {
    let log = Log::new();
    let mut file = compressing(&log, 0);
    append(&mut file, "one\n");
    // By somebody who names them as we do.
    log.rename("audit.log", PLAIN);
    let other = compressing(&log, 0);
    close(other);
    append(&mut file, "two\n");
    close(file);
    assert_eq!(log.read(PLAIN), "one\ntwo\n");

    close(compressing(&log, 0));
    assert_eq!(log.names(), [COMPRESSED, "audit.log"]);
    assert_eq!(log.read(COMPRESSED), "one\ntwo\n");
}

#[test]
fn what_another_process_is_compressing_is_left_to_it() {
    let log = Log::new();
    log.put(PLAIN, "one\n");
    log.put(PARTIAL, "half a gzip fi");
    let theirs = OpenOptions::new().read(true).open(log.path(PLAIN));
    let theirs = theirs.expect("a file");
    theirs.lock().expect("a lock");
    close(compressing(&log, 0));
    assert_eq!(log.names(), [PLAIN, PARTIAL, "audit.log"]);
    theirs.unlock().expect("a lock");
    close(compressing(&log, 0));
    assert_eq!(log.names(), [COMPRESSED, "audit.log"]);
}

#[test]
fn what_can_not_be_compressed_is_told_and_stays() {
    let log = Log::new();
    log.put(PLAIN, "one\n");
    fs::create_dir(log.path(PARTIAL)).expect("a folder");
    let place = Place::new(log.path("audit.log")).expect("a name");
    let compressed = compress(&place, Stamp::at(now()), &AtomicBool::new(false));
    let error = compressed.expect_err("a folder is in the way");
    let expected = format!(
        "cannot compress the backup {} of the audit log, it stays as it is: File exists (os error 17): make room on the disk, and let this process read the file and write to the directory",
        log.path(PLAIN).display()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(log.names(), [PLAIN, PARTIAL]);
}
