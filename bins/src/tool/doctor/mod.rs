//! `dialback doctor`: proves each hop of the way, from the machine that it runs on.
//!
//! In the role of an agent it goes as far as the server's answer to a Connect call, without becoming one that could be given
//! a dial ([`dialback_runtime::agent::Probe`]); in the role of a frontend as far as an endpoint.

mod agent;
mod certificate;
mod frontend;
mod grpc_frontend;
mod handshake;
mod http_frontend;
mod material;
mod reach;
mod report;
mod tls_failure;
mod token;
mod tunnel;
mod witness;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use dialback_tokio::TokioRuntime;

use self::report::{Report, Verdict};
use super::client::{ClientError, duration};

/// Something failed, or could not even be tried.
const EXIT_FAILED: u8 = 1;
/// The command line makes no sense.
pub(super) const EXIT_USAGE: u8 = 2;

const EXIT_CODES: &str = "\
Exit codes: 0 all works (there may be warnings), 1 something failed, 2 usage";

/// What `dialback doctor` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Role {
    /// Go the way of an agent to a proxy server, with proxy-agent's flags
    ///
    /// Looks at the certificates and the token, resolves the server's name, connects to each of its addresses, does the
    /// TLS handshake and asks each server whether it would let an agent in, and what it would tell it. The servers never
    /// give a dial to it.
    Agent(agent::Options),
    /// Go the way of a frontend to a proxy server, and on to an endpoint, with the flags of `dialback dial`
    ///
    /// Connects to the proxy server, does the TLS handshake where there is one, finds out whether the server speaks what
    /// is expected and, given an endpoint, dials it and says which agent served the dial.
    Frontend(Box<frontend::Options>),
}

/// What both roles take.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Common {
    /// How long each hop may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    timeout: Duration,

    /// Print one JSON object instead of lines
    #[arg(long)]
    json: bool,
}

/// Examines and tells on standard output.
pub(super) fn run(options: Options) -> ExitCode {
    match examine(options) {
        Ok(Verdict::Ok | Verdict::Warn | Verdict::Skip) => ExitCode::SUCCESS,
        Ok(Verdict::Fail) => ExitCode::from(EXIT_FAILED),
        Err(error) => {
            eprintln!("dialback: {error}");
            let is_usage = matches!(error, ClientError::Usage(_) | ClientError::Url(_));
            ExitCode::from(if is_usage { EXIT_USAGE } else { EXIT_FAILED })
        }
    }
}

fn examine(options: Options) -> Result<Verdict, ClientError> {
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ClientError::Prepare)?;
    let outcome = executor.block_on(async {
        let runtime = TokioRuntime::current()
            .map_err(|error| ClientError::Prepare(io::Error::other(error)))?;
        match options.role {
            Role::Agent(options) => {
                let mut report = Report::new(io::stdout(), options.common.json, "agent");
                agent::examine(&runtime, &options, &mut report).await;
                finish(report)
            }
            Role::Frontend(options) => {
                let mut report = Report::new(io::stdout(), options.common.json, "frontend");
                frontend::examine(&runtime, &options, &mut report).await?;
                finish(report)
            }
        }
    });
    // A look-up that takes longer than it may can't be called off: its thread is left behind.
    executor.shutdown_background();
    outcome
}

fn finish(report: Report<impl Write>) -> Result<Verdict, ClientError> {
    report.finish().map_err(ClientError::Prepare)
}
