//! Full files are put away, and the oldest deleted.

use std::fs::Permissions;

use super::*;

#[test]
fn a_batch_is_split_between_files_at_its_lines() {
    let log = Log::new();
    let mut file = log.open(8);
    append(&mut file, "one\ntwo\nthree\nfour\nfive\nsix\n");
    assert_no_problems(&mut file);
    close(file);
    // All within one millisecond: each gets the next that is free.
    let files = [
        ("audit-2026-11-24T01-30-00.000.log", "one\ntwo\n"),
        ("audit-2026-11-24T01-30-00.001.log", "three\n"),
        ("audit-2026-11-24T01-30-00.002.log", "four\n"),
        ("audit-2026-11-24T01-30-00.003.log", "five\n"),
        ("audit.log", "six\n"),
    ];
    assert_eq!(log.names(), files.map(|(name, _)| name));
    for (name, content) in files {
        assert_eq!(log.read(name), content, "{name}");
        assert_eq!(log.mode(name), 0o600, "{name}");
    }
}

#[test]
fn a_line_over_the_limit_gets_a_file_of_its_own() {
    let log = Log::new();
    let mut file = log.open(8);
    append(&mut file, "one\nlonger than the limit\ntwo\n");
    assert_eq!(
        log.read("audit-2026-11-24T01-30-00.001.log"),
        "longer than the limit\n"
    );
    assert_eq!(log.read("audit.log"), "two\n");
}

#[test]
fn names_that_are_taken_in_whatever_form_are_left() {
    let log = Log::new();
    log.put("audit-2026-11-24T01-30-00.000.log", "old\n");
    log.put("audit-2026-11-24T01-30-00.001.log.gz", "old");
    fs::create_dir(log.path("audit-2026-11-24T01-30-00.002.log")).expect("a folder");
    let mut file = log.open(4);
    append(&mut file, "one\ntwo\n");
    assert_no_problems(&mut file);
    assert_eq!(log.read("audit-2026-11-24T01-30-00.000.log"), "old\n");
    assert_eq!(log.read("audit-2026-11-24T01-30-00.003.log"), "one\n");
}

#[test]
fn the_new_file_has_the_permissions_of_the_old() {
    let log = Log::new();
    log.put("audit.log", "one\n");
    let readable = Permissions::from_mode(0o640);
    fs::set_permissions(log.path("audit.log"), readable).expect("our file");
    let mut file = log.open(4);
    append(&mut file, "two\n");
    assert_eq!(log.mode("audit.log"), 0o640);
}

#[test]
fn a_file_that_was_emptied_is_not_full() {
    let log = Log::new();
    let mut file = log.open(8);
    append(&mut file, "one\ntwo\n");
    // As logrotate's copytruncate does.
    log.put("audit.log", "");
    append(&mut file, "three\n");
    append(&mut file, "x\n");
    assert_eq!(log.read("audit.log"), "three\nx\n");
    assert_eq!(log.names(), ["audit.log"]);
}

#[test]
fn a_full_file_that_somebody_has_put_away_is_left_to_him() {
    let log = Log::new();
    let mut file = log.open(4);
    append(&mut file, "one\n");
    // As logrotate's `create` does, before it sends SIGHUP.
    log.rename("audit.log", "audit.log.1");
    log.put("audit.log", "");
    append(&mut file, "two\n");
    assert_eq!(log.names(), ["audit.log", "audit.log.1"]);
    assert_eq!(log.read("audit.log"), "two\n");

    log.rename("audit.log", "audit.log.2");
    // What stands in its place is full, too.
    log.put("audit.log", "theirs\n");
    append(&mut file, "three\n");
    assert_eq!(log.read("audit.log"), "three\n");
    assert_eq!(log.read("audit-2026-11-24T01-30-00.000.log"), "theirs\n");
    assert_no_problems(&mut file);
    assert_eq!(file.rotations(), 1);
}

#[test]
fn only_the_newest_backups_are_kept_and_foreign_files_all() {
    let log = Log::new();
    let foreign = [
        "audit-2026-11-24T01-30-00.000.json",
        "audit-2026-11-24T01-30-00.000.log.1",
        "audit-2026-13-24T01-30-00.000.log",
        "audit-extra.log",
        "audit.log.1.gz",
        "other-2020-01-01T00-00-00.000.log",
    ];
    for name in foreign {
        log.put(name, name);
    }
    // One that is named as a backup and is none.
    let folder = "audit-2020-01-01T00-00-00.000.log";
    fs::create_dir(log.path(folder)).expect("a folder");
    log.put("audit-2020-01-01T00-00-00.001.log", "old\n");
    log.put("audit-2020-01-01T00-00-00.002.log.gz", "old");
    let options = AuditFileOptions {
        max_backups: Some(2),
        ..log.options(4)
    };
    let mut file = AuditFile::open(options).expect("it opens");
    append(&mut file, "one\ntwo\nsix\nten\n");
    close(file);
    let mut expected: Vec<&str> = foreign.into();
    expected.extend([
        folder,
        "audit-2026-11-24T01-30-00.001.log",
        "audit-2026-11-24T01-30-00.002.log",
        "audit.log",
    ]);
    expected.sort_unstable();
    assert_eq!(log.names(), expected);
    for name in foreign {
        assert_eq!(log.read_raw(name), name.as_bytes());
    }
}

#[test]
fn backups_grow_too_old_without_a_rotation() {
    let log = Log::new();
    let day = Duration::from_secs(24 * 60 * 60);
    let name = "audit-9000-01-01T00-00-00.000.log";
    log.put(name, "old\n");
    let options = AuditFileOptions {
        max_age: Some(day),
        ..log.options(0)
    };
    let mut file = AuditFile::open(options.clone()).expect("it opens");
    append(&mut file, "one\n");
    close(file);
    assert_eq!(log.names(), [name, "audit.log"]);

    let year_9000 = SystemTime::UNIX_EPOCH + Duration::from_secs(221_845_392_000);
    let mut file = AuditFile::open(options).expect("it opens");
    let append = file.append(year_9000 + day + Duration::from_secs(1), b"two\n");
    append.expect("lines that are taken");
    close(file);
    assert_eq!(log.names(), ["audit.log"]);
}
