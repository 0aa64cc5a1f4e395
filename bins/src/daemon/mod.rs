//! What both daemons do around their work: read the command line, start the log, watch signals, end with the
//! reference's exit code.
//!
//! | exit code | when |
//! | --- | --- |
//! | 0 | help, version, completion; the work ended after a signal; the agent's second SIGTERM or SIGINT |
//! | 1 | the command line is wrong or the work could not start; the server's second SIGTERM or SIGINT |
//! | 2 | the log file can't be opened; SIGQUIT |

mod completion;
pub(crate) mod descriptors;
pub(crate) mod listener;
pub(crate) mod service;
mod signals;
mod work;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use tracing::{debug, error, warn};

use crate::flags::{CommandLine, FlagSet, InvalidOptions, Parsed, RuntimeName, Validated};
use crate::logging::{self, PLAIN};

pub use signals::StopSignal;
pub(crate) use signals::{DaemonSignals, ReloadSignal, SecondSignal, run_until_stopped};
pub(crate) use work::{Tasks, Work};

/// The exit code for a failure of the log, and for SIGQUIT.
const EXIT_ABNORMAL: u8 = 2;

/// One of the daemons, as its command line sees it.
#[derive(Debug)]
pub(crate) struct Daemon<F> {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it is for, the first line of its help.
    pub(crate) about: &'static str,
    /// Its flags.
    pub(crate) flags: FlagSet<CommandLine<F>>,
}

impl<F: Default> Daemon<F> {
    /// Reads the command line, its first argument being the program's name, starts the log and validates. The
    /// runtime is returned with the options, since it is the same for both daemons.
    ///
    /// # Errors
    /// The exit code, when there is nothing more to do; everything has been said by then.
    pub(crate) fn options<T>(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
        validate: impl FnOnce(&F, RuntimeName) -> Result<Validated<T>, InvalidOptions>,
    ) -> Result<(T, RuntimeName), ExitCode> {
        let arguments: Vec<OsString> = arguments.into_iter().skip(1).collect();
        if let [command, shell, ..] = arguments.as_slice()
            && command == "completion"
            && let Some(script) = completion::script(self, &shell.to_string_lossy())
        {
            return Err(print(&script));
        }
        let (mut line, parsed) = self
            .flags
            .parse(arguments)
            .map_err(|error| self.refuse_command_line(&error))?;
        for notice in &parsed.notices {
            eprintln!("{notice}");
        }
        if line.help {
            let usage = self.flags.usage(self.name);
            return Err(print(&format!("{}\n\n{usage}", self.about)));
        }
        if line.version {
            let version = env!("CARGO_PKG_VERSION");
            return Err(print(&format!("{} version {version}\n", self.name)));
        }
        if let Err(error) = logging::start(&line.logging, self.name) {
            eprintln!("log: exiting because of error: {error}");
            return Err(ExitCode::from(EXIT_ABNORMAL));
        }
        self.log_command_line(&mut line, &parsed);

        let Validated { options, warnings } =
            validate(&line.daemon, line.runtime).map_err(|invalid| {
                for problem in invalid.each() {
                    say_failure(&problem);
                }
                ExitCode::FAILURE
            })?;
        for warning in warnings {
            warn!("{warning}");
        }
        Ok((options, line.runtime))
    }

    /// Tells why the command line can't be read, and how to write one.
    fn refuse_command_line(&self, error: &dyn fmt::Display) -> ExitCode {
        eprintln!("Error: {error}\n{}", self.flags.usage(self.name));
        let defaults = self.flags.defaults();
        // With the flags' defaults the log goes to standard error, which needs nothing to be opened.
        if logging::start(&defaults.logging, self.name).is_ok() {
            error!(target: PLAIN, "error: {error}");
        }
        ExitCode::FAILURE
    }

    fn log_command_line(&self, line: &mut CommandLine<F>, parsed: &Parsed) {
        if !parsed.positionals.is_empty() {
            warn!(
                arguments = parsed.positionals.join(" "),
                "arguments that belong to no flag are ignored; booleans take their value as in --flag=false"
            );
        }
        for (flag, value) in self.flags.given(line, parsed) {
            debug!(flag, value, "flag set");
        }
    }
}

/// Tells that the daemon can't do its work: for people on standard error, and in the log.
pub(crate) fn say_failure(error: &dyn fmt::Display) {
    eprintln!("Error: {error}");
    error!(target: PLAIN, "error: {error}");
}

/// Prints what was asked for. A reader that has gone away, as `head` does, is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}
