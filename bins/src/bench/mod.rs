//! `dialback bench`: a proxy server and an agent measured against a bare relay with the same hops.
//!
//! Both sides are processes of this binary and serve the same load to the same endpoint, in turns: machines
//! are noisy, and what disturbs one side disturbs the other a moment later. A figure is only told if both
//! sides served without an error.

mod endpoint;
mod figure;
mod frontend;
mod load;
mod measure;
mod process;
pub mod relay;
mod scenario;
mod side;
mod statistics;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::time::timeout;

use self::endpoint::Endpoint;
use self::figure::{Figure, OtherWay, Reading};
pub use self::load::LoadError;
use self::scenario::Scenario;
use self::side::Side;
use crate::flags::RuntimeName;
use crate::tool::child::ChildError;
use crate::tool::installation::{CertificatesError, InstallationError, Mode};
use crate::tool::scratch::Scratch;
use crate::tool::signal::EndSignals;

/// What a scenario may take beside the measuring itself, for starting, dialling, closing and being late.
const OVERHEAD: Duration = Duration::from_secs(90);

/// How long a process may take to end after its connections did.
const ENDING_TIME: Duration = Duration::from_secs(1);

/// Descriptors of this process that are not a connection's.
const OTHER_DESCRIPTORS: u64 = 64;

/// What `dialback bench` takes.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to measure; several may be given, separated by commas. Everything if left out
    #[arg(long = "scenario", value_name = "S", value_delimiter = ',')]
    scenarios: Vec<Scenario>,

    /// The frontend's protocol, on a Unix socket
    #[arg(long, value_enum, default_value_t = Front::Connect)]
    front: Front,

    /// How many streams (or dialling frontends) at a time; by default what suits the scenario
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    streams: Option<u32>,

    /// How long each side is measured, in seconds
    #[arg(long, value_name = "T", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,

    /// What the daemons run on; anything but tokio is measured beside tokio
    #[arg(long, value_enum, default_value_t = Runtime::Tokio)]
    runtime: Runtime,

    /// Have the proxy server write an audit log, and measure it beside one without
    #[arg(long, conflicts_with = "runtime")]
    audit: bool,

    /// Print a JSON object for each scenario instead of a table
    #[arg(long)]
    json: bool,
}

/// The protocol between frontends and the proxy server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Front {
    /// HTTP-CONNECT
    Connect,
    /// gRPC
    Grpc,
}

/// What the daemons run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Runtime {
    /// tokio
    Tokio,
    /// smol
    #[cfg(feature = "smol")]
    Smol,
}

/// Why there is no figure.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// A file, socket, signal handler or thread was refused.
    #[error("cannot prepare: {0}")]
    Prepare(#[source] io::Error),
    /// The process may not open as many descriptors as needed.
    #[error(
        "{needed} descriptors are needed and {limit} allowed; raise it with `ulimit -n {needed}`, or lower --streams"
    )]
    Descriptors {
        /// What the scenario needs.
        needed: u64,
        /// The limit of this process.
        limit: u64,
    },
    /// Certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// A server or an agent did not come up.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// A process ended or logged an error.
    #[error("{scenario}: no figure: {source}")]
    Child {
        /// What was measured.
        scenario: &'static str,
        /// What the process did.
        source: ChildError,
    },
    /// A half of the relay did not come up.
    #[error(transparent)]
    Relay(#[from] ChildError),
    /// The load could not be kept up.
    #[error("{scenario} on {side}: no figure: {source}")]
    Load {
        /// What was measured.
        scenario: &'static str,
        /// Whom it was measured on.
        side: &'static str,
        /// What went wrong.
        source: LoadError,
    },
    /// It took too long.
    #[error("{scenario}: no figure: not done after {limit:?}")]
    TooSlow {
        /// What was measured.
        scenario: &'static str,
        /// The time it had.
        limit: Duration,
    },
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
    /// A figure could not be told.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

/// Measures and tells the figures on `out`, each as soon as it is there.
///
/// # Errors
///
/// If a process fails or logs an error, the load cannot be kept up, anything takes too long, or a signal
/// comes. In every case the processes, sockets and files of the measurement are gone when this returns.
pub fn run(options: &Options, out: &mut impl Write) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(endpoint::threads())
        .thread_name("load")
        .enable_all()
        .build()
        .map_err(BenchError::Prepare)?;
    let endpoint = Endpoint::start().map_err(BenchError::Prepare)?;
    runtime.block_on(async {
        // Before there is anything to clean up.
        let mut signals = EndSignals::catch().map_err(BenchError::Prepare)?;
        tokio::select! {
            done = measure_all(options, &endpoint, out) => done,
            () = signals.received() => Err(BenchError::Interrupted),
        }
    })
}

async fn measure_all(
    options: &Options,
    endpoint: &Endpoint,
    out: &mut impl Write,
) -> Result<(), BenchError> {
    let scenarios = match options.scenarios.as_slice() {
        [] => &Scenario::ALL,
        chosen => chosen,
    };
    let streams = |scenario: Scenario| match options.streams {
        Some(streams) => streams as usize,
        None => scenario.default_streams(),
    };
    for scenario in scenarios {
        enough_descriptors(scenario.connections(streams(*scenario)))?;
    }
    if !options.json {
        writeln!(out, "{}", Figure::heads()).map_err(BenchError::Output)?;
    }
    for scenario in scenarios {
        let run = Run {
            scenario: *scenario,
            front: options.front,
            streams: streams(*scenario),
            seconds: options.seconds,
            runtime: options.runtime,
            audit: options.audit,
        };
        let limit = OVERHEAD + 4 * Duration::from_secs(u64::from(options.seconds));
        let figure =
            timeout(limit, run.measure(endpoint))
                .await
                .unwrap_or(Err(BenchError::TooSlow {
                    scenario: scenario.name(),
                    limit,
                }))?;
        let line = if options.json {
            figure.json()
        } else {
            figure.row()
        };
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(BenchError::Output)?;
    }
    Ok(())
}

fn enough_descriptors(connections: usize) -> Result<(), BenchError> {
    // A frontend's end and the endpoint's, both in this process.
    let needed = 2 * connections as u64 + OTHER_DESCRIPTORS;
    match process::descriptor_limit().map_err(BenchError::Prepare)? {
        Some(limit) if limit < needed => Err(BenchError::Descriptors { needed, limit }),
        Some(_) | None => Ok(()),
    }
}

/// One scenario with its parameters.
#[derive(Clone, Copy, Debug)]
struct Run {
    scenario: Scenario,
    front: Front,
    streams: usize,
    seconds: u32,
    runtime: Runtime,
    audit: bool,
}

/// Whose readings a side's are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Dialback, as it was asked for.
    Ours,
    /// Dialback in another way, to compare with.
    Other,
    /// The bare relay.
    Relay,
}

impl Run {
    async fn measure(self, endpoint: &Endpoint) -> Result<Figure, BenchError> {
        let rounds = self.scenario.rounds(self.seconds);
        let length = Duration::from_secs(u64::from(self.seconds)) / rounds;
        let scratch = Scratch::new("bench").map_err(BenchError::Prepare)?;
        let mut sides = self.start(0, endpoint, &scratch).await?;
        let mut readings: Vec<(Role, Reading)> = Vec::new();
        for round in 0..rounds {
            if round > 0 && self.needs_fresh_processes() {
                sides = self.start(round, endpoint, &scratch).await?;
            }
            let mut order: Vec<_> = sides.iter_mut().collect();
            if round % 2 == 1 {
                // What a slot leaves behind it is not always the same side's to bear.
                order.reverse();
            }
            for (role, side) in order {
                readings.push((*role, self.slot(side, endpoint, length).await?));
            }
        }
        let of = |role: Role| -> Vec<Reading> {
            let theirs = readings.iter().filter(|(whose, _)| *whose == role);
            theirs.map(|(_, reading)| reading.clone()).collect()
        };
        let figure = Figure::new(
            self.scenario.name(),
            self.front.name(),
            self.streams,
            self.scenario.unit(),
            &of(Role::Ours),
            &of(Role::Relay),
        );
        Ok(match self.other_way() {
            Some(way) => figure.beside(way, &of(Role::Other)),
            None => figure,
        })
    }

    /// Whether each round has processes of its own. Two ways of ours differ by less than two processes of one way do, by the
    /// places that their memory happens to have: many of either are compared.
    fn needs_fresh_processes(self) -> bool {
        self.scenario.needs_fresh_processes() || self.other_way().is_some()
    }

    /// How else ours is measured.
    fn other_way(self) -> Option<OtherWay> {
        if self.audit {
            Some(OtherWay::Unaudited)
        } else {
            (self.runtime != Runtime::Tokio).then_some(OtherWay::Tokio)
        }
    }

    async fn start(
        self,
        round: u32,
        endpoint: &Endpoint,
        scratch: &Scratch,
    ) -> Result<Vec<(Role, Side)>, BenchError> {
        let throttle = self.scenario.throttle();
        let mode = match self.front {
            Front::Connect => Mode::HttpConnect,
            Front::Grpc => Mode::Grpc,
        };
        let [ours, other, relay] = ["ours", "other", "relay"].map(|side| format!("{side}-{round}"));
        let plan = side::Plan {
            name: &ours,
            target: endpoint.address(),
            path: self.scenario.path(),
            agents: self.scenario.agents(),
            server_flags: self.scenario.server_flags(),
            throttle: throttle.as_deref(),
            scratch,
        };
        let log = scratch.path(&format!("audit-{round}.log"));
        let log = format!("--audit-log-path={}", log.display());
        let audited = [plan.server_flags, &[log.as_str()]].concat();
        let ours = side::Plan {
            server_flags: if self.audit {
                &audited
            } else {
                plan.server_flags
            },
            ..plan
        };
        let ours = Side::ours(ours, mode, self.runtime.into()).await?;
        let mut sides = vec![(Role::Ours, ours)];
        if self.other_way().is_some() {
            let plan = side::Plan {
                name: &other,
                ..plan
            };
            let other = Side::ours(plan, mode, RuntimeName::Tokio).await?;
            sides.push((Role::Other, other));
        }
        if self.scenario.has_relay() {
            let plan = side::Plan {
                name: &relay,
                ..plan
            };
            sides.push((Role::Relay, Side::relay(plan).await?));
        }
        Ok(sides)
    }

    /// Measures one side once and lets it come to rest.
    async fn slot(
        self,
        side: &mut Side,
        endpoint: &Endpoint,
        length: Duration,
    ) -> Result<Reading, BenchError> {
        let scenario = self.scenario;
        let measured = async {
            let reading = scenario
                .measure(side, endpoint, self.streams, length)
                .await?;
            load::settle(endpoint).await?;
            Ok(reading)
        };
        let measured = measured.await;
        // If a process failed, that is the reason for whatever the load generator saw of it. Its connections are
        // gone a moment before it is.
        let until = Instant::now() + ENDING_TIME;
        while measured.is_err() && Instant::now() < until && side.check().is_ok() {
            tokio::time::sleep(ENDING_TIME / 50).await;
        }
        side.check().map_err(|source| BenchError::Child {
            scenario: scenario.name(),
            source,
        })?;
        measured.map_err(|source| BenchError::Load {
            scenario: scenario.name(),
            side: side.name(),
            source,
        })
    }
}

impl From<Runtime> for RuntimeName {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Tokio => Self::Tokio,
            #[cfg(feature = "smol")]
            Runtime::Smol => Self::Smol,
        }
    }
}

impl Front {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Grpc => "grpc",
        }
    }
}
