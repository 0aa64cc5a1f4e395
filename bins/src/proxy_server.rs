//! `proxy-server`: agents connect to it, and frontends dial through it.

mod health;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::daemon::{Daemon, SecondSignal, run_until_stopped};
use crate::flags::{ServerFlags, server_flags};

pub use serve::StartError;

/// The program: reads the command line, whose first argument is the program's name, and serves until it is stopped.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let daemon = Daemon {
        name: "proxy-server",
        about: "Takes dials from frontends, over gRPC or HTTP-CONNECT, and carries them through the agents that connect to it.",
        flags: server_flags(),
    };
    match daemon.options(arguments, ServerFlags::validate) {
        Ok((options, runtime)) => run_until_stopped(options, runtime, SecondSignal::Fails),
        Err(code) => code,
    }
}
