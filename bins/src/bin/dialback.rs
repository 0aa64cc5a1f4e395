//! `dialback`: certificates, a demonstration, measurements.

use std::process::ExitCode;

fn main() -> ExitCode {
    dialback_bins::tool::run(std::env::args_os())
}
