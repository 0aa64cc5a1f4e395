//! Where log lines go: standard error, one file, or a file per severity.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::{Clock, LogError};
use crate::flags::{LoggingOptions, Severity};

/// How large the files of `--log-dir` may grow; klog has no flag for it.
const DIRECTORY_FILE_LIMIT: u64 = 1800 << 20;

/// What takes the finished lines of a log.
#[derive(Debug)]
pub(super) struct Sink {
    files: Option<Mutex<Files>>,
    /// Lines below this severity do not go to standard error.
    stderr_from: Severity,
}

impl Sink {
    /// Opens the files that the options ask for.
    pub(super) fn open(
        options: &LoggingOptions,
        program: &str,
        clock: Clock,
    ) -> Result<Self, LogError> {
        if options.to_stderr.on {
            return Ok(Self {
                files: None,
                stderr_from: if options.legacy_stderr_threshold.on {
                    Severity { level: i32::MIN }
                } else {
                    options.stderr_threshold
                },
            });
        }
        Ok(Self {
            files: Some(Mutex::new(Files::open(options, program, clock)?)),
            stderr_from: if options.also_to_stderr.on {
                options.also_to_stderr_threshold
            } else {
                options.stderr_threshold
            },
        })
    }

    fn write_line(&self, severity: Severity, line: &[u8]) {
        let written = match &self.files {
            Some(files) => lock(files).write_line(severity, line),
            None => Ok(()),
        };
        // A line that its file can't take has to appear somewhere.
        if severity >= self.stderr_from || written.is_err() {
            // There is nowhere left to report a failure to.
            let _ = io::stderr().lock().write_all(line);
        }
    }
}

/// The files behind a lock. A thread that panicked while writing left at worst half a line.
fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter {
            sink: self,
            severity: Severity::INFO,
        }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        LineWriter {
            sink: self,
            severity: match *metadata.level() {
                Level::ERROR => Severity::ERROR,
                Level::WARN => Severity::WARNING,
                Level::INFO | Level::DEBUG | Level::TRACE => Severity::INFO,
            },
        }
    }
}

/// Takes a line of one severity, whole at once.
#[derive(Debug)]
pub(super) struct LineWriter<'a> {
    sink: &'a Sink,
    severity: Severity,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.sink.write_line(self.severity, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log files.
#[derive(Debug)]
enum Files {
    /// One for all severities.
    Single(LogFile),
    /// One per severity, opened when its first line comes.
    BySeverity {
        names: FileNames,
        /// Whether a line goes to its own severity's file alone.
        one_output: bool,
        /// For info, warning and error.
        open: [Option<LogFile>; 3],
    },
}

const SEVERITY_NAMES: [&str; 3] = ["INFO", "WARNING", "ERROR"];

impl Files {
    fn open(options: &LoggingOptions, program: &str, clock: Clock) -> Result<Self, LogError> {
        let banner = (!options.skip_file_headers.on).then_some(clock);
        if !options.file.is_empty() {
            let limit = match options.file_limit_mib.count {
                0 => u64::MAX,
                mib => mib.saturating_mul(1 << 20),
            };
            let path = PathBuf::from(&options.file);
            return Ok(Self::Single(LogFile::open(&path, limit, banner)?));
        }
        let directory = if options.directory.is_empty() {
            env::temp_dir()
        } else {
            PathBuf::from(&options.directory)
        };
        let names = FileNames {
            directory,
            program: program.to_owned(),
            clock,
            banner,
        };
        let info = names.open(SEVERITY_NAMES[0])?;
        Ok(Self::BySeverity {
            names,
            one_output: options.one_output.on,
            open: [Some(info), None, None],
        })
    }

    fn write_line(&mut self, severity: Severity, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Single(file) => file.write_line(line),
            Self::BySeverity {
                names,
                one_output,
                open,
            } => {
                let own = usize::try_from(severity.level).unwrap_or(0).min(2);
                let first = if *one_output { own } else { 0 };
                for level in first..=own {
                    let file = match &mut open[level] {
                        Some(file) => file,
                        closed @ None => closed.insert(
                            names
                                .open(SEVERITY_NAMES[level])
                                .map_err(|LogError::Open { source, .. }| source)?,
                        ),
                    };
                    file.write_line(line)?;
                }
                Ok(())
            }
        }
    }
}

/// How the files of a log directory are called.
#[derive(Debug)]
struct FileNames {
    directory: PathBuf,
    program: String,
    clock: Clock,
    banner: Option<Clock>,
}

impl FileNames {
    /// Opens `<program>.<host>.<user>.log.<SEVERITY>.<YYYYMMDD-hhmmss>.<pid>` and points the link
    /// `<program>.<SEVERITY>` to it.
    fn open(&self, severity: &str) -> Result<LogFile, LogError> {
        let now = self.clock.now();
        let user = env::var("USER").unwrap_or_else(|_| "unknownuser".to_owned());
        let name = format!(
            "{}.{}.{}.log.{severity}.{:04}{:02}{:02}-{:02}{:02}{:02}.{}",
            self.program,
            host_name(),
            user.replace('/', "_"),
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second(),
            process::id(),
        );
        let path = self.directory.join(&name);
        let file = LogFile::open(&path, DIRECTORY_FILE_LIMIT, self.banner)?;
        let link = self.directory.join(format!("{}.{severity}", self.program));
        // The link is a convenience: the log goes on without.
        let _ = fs::remove_file(&link);
        let _ = symlink(&name, &link);
        Ok(file)
    }
}

/// The machine's name up to its first dot.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim().split('.').next() {
        None | Some("") => "unknownhost".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// One file that starts over when it gets too large.
#[derive(Debug)]
struct LogFile {
    file: File,
    bytes: u64,
    limit: u64,
    /// Tells the time for the first lines, if the file has any.
    banner: Option<Clock>,
}

impl LogFile {
    fn open(path: &Path, limit: u64, banner: Option<Clock>) -> Result<Self, LogError> {
        let open = || {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            let mut log = Self {
                bytes: file.metadata()?.len(),
                file,
                limit,
                banner,
            };
            log.write_banner()?;
            Ok(log)
        };
        open().map_err(|source| LogError::Open {
            path: path.to_owned(),
            source,
        })
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes.saturating_add(line.len() as u64) >= self.limit {
            self.file.set_len(0)?;
            self.bytes = 0;
            self.write_banner()?;
        }
        self.append(line)
    }

    fn write_banner(&mut self) -> io::Result<()> {
        let Some(clock) = self.banner else {
            return Ok(());
        };
        let now = clock.now();
        let banner = format!(
            "Log file created at: {:04}/{:02}/{:02} {:02}:{:02}:{:02}\n\
             Running on machine: {}\n\
             Binary: Dialback {} for {}/{}\n\
             Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n",
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second(),
            host_name(),
            env!("CARGO_PKG_VERSION"),
            env::consts::OS,
            env::consts::ARCH,
        );
        self.append(banner.as_bytes())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
