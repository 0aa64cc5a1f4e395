//! `proxy-agent`: connects back to proxy servers and dials endpoints for them.

mod health;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::daemon::{Daemon, SecondSignal, run_until_stopped};
use crate::flags::{AgentFlags, agent_flags};

pub use serve::StartError;

/// The program: reads the command line, whose first argument is the program's name, and serves until it is stopped.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let daemon = Daemon {
        name: "proxy-agent",
        about: "Connects to proxy servers and dials, from where it runs, what their frontends ask for.",
        flags: agent_flags(),
    };
    match daemon.options(arguments, AgentFlags::validate) {
        Ok((options, runtime)) => run_until_stopped(options, runtime, SecondSignal::Succeeds),
        Err(code) => code,
    }
}
