//! The daemon; see `dialback_bins::proxy_server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dialback_bins::proxy_server::run(std::env::args_os())
}
