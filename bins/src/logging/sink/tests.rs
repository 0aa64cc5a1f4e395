use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use time::UtcOffset;

use super::Sink;
use crate::flags::{KlogBool, KlogCount, LoggingOptions, Severity};
use crate::logging::Clock;

const UTC: Clock = Clock {
    offset: UtcOffset::UTC,
};

/// A directory of a test's own, gone with it.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dialback-log-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a new directory");
        Self(path)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("a log file")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Options for a file, without the lines it begins with, and nothing on standard error.
fn options() -> LoggingOptions {
    LoggingOptions {
        to_stderr: KlogBool { on: false },
        stderr_threshold: Severity::FATAL,
        skip_file_headers: KlogBool { on: true },
        ..LoggingOptions::default()
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path of ours is text").to_owned()
}

#[test]
fn a_file_takes_all_severities_and_is_continued() {
    let directory = Directory::new();
    let options = LoggingOptions {
        file: text(&directory.0.join("log")),
        ..options()
    };
    for severity in [Severity::INFO, Severity::ERROR] {
        let sink = Sink::open(&options, "test", UTC).expect("the file opens");
        sink.write_line(severity, b"line\n");
    }
    assert_eq!(directory.read("log"), "line\nline\n");
}

#[test]
fn a_file_begins_with_where_and_when() {
    let directory = Directory::new();
    let options = LoggingOptions {
        file: text(&directory.0.join("log")),
        skip_file_headers: KlogBool { on: false },
        ..options()
    };
    let sink = Sink::open(&options, "test", UTC).expect("the file opens");
    sink.write_line(Severity::INFO, b"line\n");
    let text = directory.read("log");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("Log file created at: 2"), "{text}");
    assert_eq!(lines[4], "line");
}

#[test]
fn a_file_at_its_limit_starts_over() {
    let directory = Directory::new();
    let options = LoggingOptions {
        file: text(&directory.0.join("log")),
        file_limit_mib: KlogCount { count: 1 },
        ..options()
    };
    let sink = Sink::open(&options, "test", UTC).expect("the file opens");
    let half = vec![b'x'; 512 << 10];
    sink.write_line(Severity::INFO, &half[1..]);
    sink.write_line(Severity::INFO, &half);
    assert_eq!(directory.read("log").len(), (1 << 20) - 1);
    sink.write_line(Severity::INFO, b"new\n");
    assert_eq!(directory.read("log"), "new\n");
}

#[test]
fn a_directory_gets_a_file_per_severity_with_the_graver_lines_in_all() {
    let directory = Directory::new();
    let options = LoggingOptions {
        directory: text(&directory.0),
        ..options()
    };
    let sink = Sink::open(&options, "test", UTC).expect("the files open");
    sink.write_line(Severity::INFO, b"i\n");
    sink.write_line(Severity::ERROR, b"e\n");
    assert_eq!(directory.read("test.INFO"), "i\ne\n");
    assert_eq!(directory.read("test.WARNING"), "e\n");
    assert_eq!(directory.read("test.ERROR"), "e\n");
    let target = fs::read_link(directory.0.join("test.ERROR")).expect("a link");
    let target = text(&target);
    assert!(target.starts_with("test."), "{target}");
    assert!(target.contains(".log.ERROR.2"), "{target}");
    assert!(
        target.ends_with(&format!(".{}", std::process::id())),
        "{target}"
    );
}

#[test]
fn with_one_output_a_line_is_in_one_file() {
    let directory = Directory::new();
    let options = LoggingOptions {
        directory: text(&directory.0),
        one_output: KlogBool { on: true },
        ..options()
    };
    let sink = Sink::open(&options, "test", UTC).expect("the files open");
    sink.write_line(Severity::INFO, b"i\n");
    sink.write_line(Severity::WARNING, b"w\n");
    assert_eq!(directory.read("test.INFO"), "i\n");
    assert_eq!(directory.read("test.WARNING"), "w\n");
    assert!(!directory.0.join("test.ERROR").exists());
}

#[test]
fn a_file_that_can_not_be_opened_is_an_error_in_gos_words() {
    let options = LoggingOptions {
        file: "/nonexistent/log".to_owned(),
        ..options()
    };
    let error = Sink::open(&options, "test", UTC).expect_err("there is no such directory");
    assert_eq!(
        error.to_string(),
        "log: unable to create log: open /nonexistent/log: no such file or directory"
    );
}

#[test]
fn thresholds_decide_what_reaches_standard_error() {
    let directory = Directory::new();
    let file = text(&directory.0.join("log"));
    let threshold = |to_stderr, also, legacy| {
        let options = LoggingOptions {
            to_stderr: KlogBool { on: to_stderr },
            also_to_stderr: KlogBool { on: also },
            also_to_stderr_threshold: Severity::WARNING,
            stderr_threshold: Severity::ERROR,
            legacy_stderr_threshold: KlogBool { on: legacy },
            file: file.clone(),
            ..options()
        };
        let sink = Sink::open(&options, "test", UTC).expect("the file opens");
        sink.stderr_from.level
    };
    assert_eq!(threshold(true, false, true), i32::MIN);
    assert_eq!(threshold(true, false, false), Severity::ERROR.level);
    assert_eq!(threshold(false, false, true), Severity::ERROR.level);
    assert_eq!(threshold(false, true, true), Severity::WARNING.level);
}
