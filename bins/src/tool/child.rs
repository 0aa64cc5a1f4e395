//! Processes that this one starts, watches and ends: this same binary in another role.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

use super::scratch::Scratch;

/// How much of a log is shown when something went wrong, counted from its end, in bytes.
const SHOWN_LOG: u64 = 64 * 1024;

/// A running child; dropping it ends the process.
///
/// The child's standard input is a pipe that nothing is written to: should this process be killed, the
/// pipe closes and the child, started with `--end-with-stdin`, ends too.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

/// A child could not be started, ended by itself, or logged an error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChildError {
    /// The process could not be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Which child.
        name: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The process is gone although nobody ended it.
    #[error("{name} ended by itself ({status}); its log:\n{log}")]
    Ended {
        /// Which child.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The log has a line of severity error or fatal, or tells of a panic.
    #[error("{name} logged an error: {line}\nits log:\n{log}")]
    Complained {
        /// Which child.
        name: String,
        /// The first such line.
        line: String,
        /// The end of its log.
        log: String,
    },
    /// The process or its log could not be looked at.
    #[error("cannot watch {name}: {source}")]
    Watch {
        /// Which child.
        name: String,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl Child {
    /// Starts `role`, a subcommand of this binary, with `flags`; it logs to `NAME.log` in `scratch`.
    pub(crate) fn start(
        name: &str,
        role: &str,
        flags: Vec<OsString>,
        scratch: &Scratch,
    ) -> Result<Self, ChildError> {
        let log = scratch.path(&format!("{name}.log"));
        let start = || {
            let output = File::create(&log)?;
            Command::new(std::env::current_exe()?)
                .arg("--end-with-stdin")
                .arg(role)
                .args(flags)
                .stdin(Stdio::piped())
                .stdout(output.try_clone()?)
                .stderr(output)
                // A Ctrl-C is for the parent, which then ends its children in order.
                .process_group(0)
                .spawn()
        };
        match start() {
            Ok(process) => Ok(Self {
                name: name.to_owned(),
                process,
                log,
            }),
            Err(source) => Err(ChildError::Start {
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether the process still runs.
    pub(crate) fn check_running(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(ChildError::Ended {
                name: self.name.clone(),
                status,
                log: self.log_tail(),
            }),
            Err(source) => Err(self.unwatchable(source)),
        }
    }

    /// Whether the process still runs and has logged no error.
    pub(crate) fn check(&mut self) -> Result<(), ChildError> {
        self.check_running()?;
        let complaint = File::open(&self.log)
            .and_then(|log| first_complaint(BufReader::new(log)))
            .map_err(|source| self.unwatchable(source))?;
        match complaint {
            None => Ok(()),
            Some(line) => Err(ChildError::Complained {
                name: self.name.clone(),
                line,
                log: self.log_tail(),
            }),
        }
    }

    /// The end of what the process logged; empty if the log cannot be read.
    pub(crate) fn log_tail(&self) -> String {
        let read = || {
            let mut log = File::open(&self.log)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(SHOWN_LOG)))?;
            let mut tail = Vec::new();
            log.take(SHOWN_LOG).read_to_end(&mut tail)?;
            Ok(String::from_utf8_lossy(&tail).into_owned())
        };
        // The log only adds to an error that is told in any case.
        read().unwrap_or_else(|_: io::Error| String::new())
    }

    fn unwatchable(&self, source: io::Error) -> ChildError {
        ChildError::Watch {
            name: self.name.clone(),
            source,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Fails only for a process that has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ends this process as soon as its standard input does.
pub(crate) fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(0);
    });
}

fn first_complaint(log: impl BufRead) -> io::Result<Option<String>> {
    for line in log.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if is_complaint(&line) {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// Whether a line is one of klog's (`Lmmdd hh:mm:ss.uuuuuu pid file:line] text`) at severity error or
/// fatal, or Rust's message of a panic.
fn is_complaint(line: &str) -> bool {
    let header = line.as_bytes();
    let severe = matches!(header.first(), Some(b'E' | b'F'))
        && header
            .get(1..5)
            .is_some_and(|d| d.iter().all(u8::is_ascii_digit))
        && header.get(5) == Some(&b' ');
    severe || line.contains("panicked at ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_found_among_other_lines() {
        let log = "I0102 03:04:05.000006 7 server.go:8] \"E0102 in a message\"\n\
                   W0102 03:04:05.000006 7 server.go:8] careful\n\
                   Error: not klog's\n\
                   E0102 03:04:05.000006 7 server.go:9] \"broken\"\n\
                   F0102 03:04:05.000006 7 server.go:9] \"worse\"\n";
        let found = first_complaint(log.as_bytes());
        assert!(
            matches!(&found, Ok(Some(line)) if line.ends_with("\"broken\"")),
            "{found:?}"
        );
    }

    #[test]
    fn a_fatal_line_and_a_panic_are_complaints() {
        assert!(is_complaint("F0102 03:04:05.000006 7 a.rs:1] x"));
        assert!(is_complaint("thread 'main' panicked at src/main.rs:1:1:"));
        assert!(!is_complaint("Every line"));
        assert!(!is_complaint("E01"));
    }
}
