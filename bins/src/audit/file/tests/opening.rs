//! What is found and made at the start and by SIGHUP.

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn missing_directories_and_the_file_are_for_the_owner_alone() {
    let log = Log::new();
    let mut file = log.open_at("one/two/audit.log", 0);
    append(&mut file, "line\n");
    assert_eq!(log.mode("one"), 0o700);
    assert_eq!(log.mode("one/two"), 0o700);
    assert_eq!(log.mode("one/two/audit.log"), 0o600);
}

#[test]
fn what_is_there_is_continued_and_counts() {
    let log = Log::new();
    log.put("audit.log", "one\n");
    let mut file = log.open(8);
    append(&mut file, "two\n");
    assert_eq!(log.read("audit.log"), "one\ntwo\n");
    append(&mut file, "three\n");
    assert_eq!(log.read("audit.log"), "three\n");
    assert_eq!(log.read("audit-2026-11-24T01-30-00.000.log"), "one\ntwo\n");
    assert_eq!((file.bytes_written(), file.rotations()), (10, 1));
}

#[test]
fn half_a_line_of_an_earlier_process_is_ended_first() {
    let log = Log::new();
    log.put("audit.log", "one\nha");
    let mut file = log.open(0);
    assert_eq!(log.read("audit.log"), "one\nha");
    append(&mut file, "two\n");
    assert_eq!(log.read("audit.log"), "one\nha\ntwo\n");
}

#[test]
fn a_full_file_with_half_a_line_is_ended_before_it_is_put_away() {
    let log = Log::new();
    log.put("audit.log", "one\nha");
    let mut file = log.open(6);
    append(&mut file, "two\n");
    assert_eq!(log.read("audit.log"), "two\n");
    assert_eq!(log.read("audit-2026-11-24T01-30-00.000.log"), "one\nha\n");
}

#[test]
fn a_renamed_file_takes_lines_until_it_is_opened_again() {
    let log = Log::new();
    let mut file = log.open(0);
    append(&mut file, "one\n");
    log.rename("audit.log", "audit.log.1");
    append(&mut file, "two\n");
    file.reopen().expect("it opens");
    append(&mut file, "three\n");
    assert_eq!(log.read("audit.log.1"), "one\ntwo\n");
    assert_eq!(log.read("audit.log"), "three\n");
    assert_eq!(log.mode("audit.log"), 0o600);
    assert_eq!(file.rotations(), 0);
}

#[test]
fn opening_the_same_file_again_changes_nothing() {
    let log = Log::new();
    let mut file = log.open(8);
    append(&mut file, "one\n");
    file.reopen().expect("it opens");
    append(&mut file, "two\n");
    assert_eq!(log.read("audit.log"), "one\ntwo\n");
    append(&mut file, "three\n");
    assert_eq!(log.names().len(), 2);
}

#[test]
fn what_can_not_be_opened_again_stays_in_use() {
    let log = Log::new();
    let mut file = log.open_at("folder/audit.log", 0);
    append(&mut file, "one\n");
    log.rename("folder", "moved");
    log.put("folder", "in the way");
    let error = file.reopen().expect_err("a file is in the way");
    let folder = log.path("folder");
    let expected = format!(
        "cannot make the directory {} of the audit log: File exists (os error 17): make it, or name another file with --audit-log-path",
        folder.display()
    );
    assert_eq!(error.to_string(), expected);
    append(&mut file, "two\n");
    assert_eq!(log.read("moved/audit.log"), "one\ntwo\n");

    fs::remove_file(folder).expect("it is there");
    file.reopen().expect("it opens");
    append(&mut file, "three\n");
    assert_eq!(log.read("folder/audit.log"), "three\n");
}

#[test]
fn a_directory_is_no_file() {
    let log = Log::new();
    fs::create_dir(log.path("audit.log")).expect("a folder");
    let error = AuditFile::open(log.options(0)).expect_err("a folder");
    let expected = format!(
        "cannot open the audit log {}: Is a directory (os error 21): let this process write to it, or name another file with --audit-log-path",
        log.path("audit.log").display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_link_stays_and_the_file_it_leads_to_is_put_away_beside_itself() {
    let log = Log::new();
    fs::create_dir(log.path("disk")).expect("a folder");
    log.put("disk/real.log", "one\n");
    symlink("disk/real.log", log.path("audit.log")).expect("a link");
    let mut file = log.open(4);
    append(&mut file, "two\n");
    assert_eq!(log.names(), ["audit.log", "disk"]);
    assert_eq!(log.read("audit.log"), "two\n");
    assert_eq!(log.read("disk/real-2026-11-24T01-30-00.000.log"), "one\n");
}

#[test]
fn of_standard_output_nothing_is_opened_again() {
    let mut file = AuditFile::standard_output().expect("there is one");
    file.reopen().expect("nothing to do");
    append(&mut file, "");
    close(file);
    assert!(!std::path::Path::new("-").exists());
}
