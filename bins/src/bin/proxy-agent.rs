//! The daemon; see `dialback_bins::proxy_agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dialback_bins::proxy_agent::run(std::env::args_os())
}
