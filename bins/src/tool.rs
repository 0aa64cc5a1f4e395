//! The `dialback` command: connections through a proxy server, certificates, a demonstration, measurements.
//!
//! The last two start proxy servers and agents as children, which are this same binary in another role.

pub(crate) mod child;
mod client;
mod doctor;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod installation;
pub(crate) mod loopback;
mod policy;
pub(crate) mod scratch;
mod shell;
pub(crate) mod signal;
pub(crate) mod tls;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;
use std::{io, iter};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{bench, certs, demo};

/// Connect through, try, equip and measure Dialback, the network proxy between a cluster's API server and its
/// nodes.
#[derive(Debug, Parser)]
#[command(name = "dialback", version)]
struct Tool {
    /// End when standard input does: how a child learns that its parent is gone.
    #[arg(long, hide = true)]
    end_with_stdin: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Client(Box<client::Command>),
    /// Prove each hop of the way of an agent, or of a frontend, and say what is wrong and what to do
    Doctor(doctor::Options),
    /// Ask a policy file who may reach what
    Policy(policy::Options),
    /// Show what a server or an agent is at: its links, streams and rates
    Top(top::Options),
    /// Make a certificate authority for agents, one for frontends, and what they sign
    Certs(certs::Options),
    /// Start a server and an agent on this machine and fetch a page through them
    Demo(demo::Options),
    /// Measure a server and an agent against a bare relay, side by side
    ///
    /// Both serve the same load in turns, and the ratio is ours to the relay's: for throughput and dials more
    /// is better, for times and memory less.
    Bench(bench::Options),
    /// Print completions for a shell
    Completions(shell::Completions),
    /// Print this command's man page, or write those of all subcommands
    Man(shell::Man),
    /// The daemon, for this command's own use
    #[command(hide = true, disable_help_flag = true)]
    ProxyServer(DaemonFlags),
    /// The daemon, for this command's own use
    #[command(hide = true, disable_help_flag = true)]
    ProxyAgent(DaemonFlags),
    /// One half of the relay that `bench` compares with
    #[command(hide = true)]
    BenchRelay(bench::relay::Options),
}

/// Flags that the daemon reads for itself.
#[derive(Debug, clap::Args)]
struct DaemonFlags {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    flags: Vec<OsString>,
}

impl DaemonFlags {
    /// The daemon's command line, its name included.
    fn arguments(self, name: &str) -> impl Iterator<Item = OsString> {
        iter::once(OsString::from(name)).chain(self.flags)
    }
}

/// Runs the command line `args`, whose first item is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    let tool = match Tool::try_parse_from(&args) {
        Ok(tool) => tool,
        Err(error) => {
            // Nothing more can be done when even the message cannot be written.
            let _ = error.print();
            let is_doctor = args.get(1).is_some_and(|command| command == "doctor");
            return ExitCode::from(match (error.use_stderr(), is_doctor) {
                (false, _) => 0,
                (true, false) => 1,
                (true, true) => doctor::EXIT_USAGE,
            });
        }
    };
    if tool.end_with_stdin {
        child::end_with_stdin();
    }
    match tool.command {
        Command::Client(command) => match client::run(*command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("dialback: {error}");
                ExitCode::from(error.exit_code())
            }
        },
        Command::Doctor(options) => doctor::run(options),
        Command::Policy(options) => policy::run(&options),
        Command::Top(options) => report(top::run(&options)),
        Command::Certs(options) => report(certs::run(&options, &mut io::stdout().lock())),
        Command::Demo(options) => report(demo::run(&options, &mut io::stdout())),
        Command::Bench(options) => report(bench::run(&options, &mut io::stdout())),
        Command::Completions(options) => {
            report(options.write(Tool::command(), &mut io::stdout().lock()))
        }
        Command::Man(options) => report(options.write(Tool::command(), &mut io::stdout().lock())),
        Command::ProxyServer(daemon) => crate::proxy_server::run(daemon.arguments("proxy-server")),
        Command::ProxyAgent(daemon) => crate::proxy_agent::run(daemon.arguments("proxy-agent")),
        Command::BenchRelay(options) => report(bench::relay::run(&options)),
    }
}

fn report(outcome: Result<(), impl std::error::Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dialback: {error}");
            ExitCode::FAILURE
        }
    }
}
