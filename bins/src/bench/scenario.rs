//! What can be measured, and how each measurement goes.

use std::num::NonZeroU64;
use std::time::Duration;

use super::endpoint::{Endpoint, SECOND_HOST};
use super::figure::Reading;
use super::load::{
    self, Balanced, Bulk, Direction, LoadError, Resumed, Stalled, Throttled, Window,
};
use super::measure::Measure;
use super::side::{PathConditions, Side};
use super::statistics::{Latencies, Streams};

/// Time for buffers to fill and windows to open before a slot is measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// The bulk streams of `echo-under-load`.
const LOAD_STREAMS: usize = 4;

/// Streams opened and closed before idle ones are counted.
const IDLE_WARM_UP: usize = 32;

/// How often a side is measured at least and at most, however long in all.
const FEWEST_ROUNDS: u32 = 3;
const MOST_ROUNDS: u32 = 9;

/// Each way of the path of `long-path`, and what it carries per second.
const LONG_PATH_DELAY: Duration = Duration::from_millis(100);
const LONG_PATH_RATE: NonZeroU64 = NonZeroU64::new(30 << 20).expect("30 MiB is not 0");

/// Time for windows to open on the long path; what they have to reach they have to by the 10th second.
const LONG_PATH_RAMP: Duration = Duration::from_secs(9);

/// The agents of `balance`, and each way of the path of one that is well.
const BALANCED_AGENTS: usize = 5;
const BALANCED_DELAY: Duration = Duration::from_millis(5);

/// What passes per second each way, in MiB, where `throttle` has a limit.
const THROTTLED_MIB: u32 = 20;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scenario {
    /// Throughput from the endpoint to the frontends
    BulkDown,
    /// Throughput from the frontends to the endpoint
    BulkUp,
    /// Time of a small exchange, nothing else going on
    Echo,
    /// Time of a small exchange beside four bulk streams
    EchoUnderLoad,
    /// New connections per second, each with a first byte there and back
    Dial,
    /// Time of a small exchange beside streams whose readers have stopped, frontends and endpoints
    StalledStream,
    /// Throughput of one stream, the worse of both directions, over a path of 200 ms and 30 MiB/s, the first 9 s
    /// left out; a small exchange beside it
    LongPath,
    /// Time until bytes flow again after the agent's connection was cut, 100 times a minute, beside freezes of 5 s
    Resume,
    /// Time of 200 dials a second (--streams) over five agents, of which one answers 50 times as late and one swallows
    /// everything, with leastLoaded and --dial-hedging; how the others share them
    Balance,
    /// Throughput to and from a destination with a limit of 20 MiB/s each way (--throttle-file), the direction that is
    /// farther from it; a small exchange with another destination beside it. The relay has no limits
    Throttle,
    /// Memory of a connection that says nothing
    Idle,
}

impl Scenario {
    pub(super) const ALL: [Self; 11] = [
        Self::BulkDown,
        Self::BulkUp,
        Self::Echo,
        Self::EchoUnderLoad,
        Self::Dial,
        Self::StalledStream,
        Self::LongPath,
        Self::Resume,
        Self::Balance,
        Self::Throttle,
        Self::Idle,
    ];

    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BulkDown => "bulk-down",
            Self::BulkUp => "bulk-up",
            Self::Echo => "echo",
            Self::EchoUnderLoad => "echo-under-load",
            Self::Dial => "dial",
            Self::StalledStream => "stalled-stream",
            Self::LongPath => "long-path",
            Self::Resume => "resume",
            Self::Balance => "balance",
            Self::Throttle => "throttle",
            Self::Idle => "idle",
        }
    }

    /// The unit of [`Reading::value`].
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::BulkDown | Self::BulkUp | Self::LongPath | Self::Throttle => "MiB/s",
            Self::Echo => "us p50",
            Self::EchoUnderLoad | Self::StalledStream | Self::Balance => "us p99",
            Self::Dial => "dials/s",
            Self::Resume => "ms p50",
            Self::Idle => "KiB/stream",
        }
    }

    /// How many streams there are if the operator does not say.
    pub(super) fn default_streams(self) -> usize {
        match self {
            Self::BulkDown | Self::BulkUp | Self::Throttle => 4,
            Self::Echo | Self::EchoUnderLoad | Self::StalledStream | Self::LongPath => 1,
            Self::Resume | Self::Balance => 200,
            Self::Dial => 8,
            Self::Idle => 1000,
        }
    }

    /// The most connections open at a time, of which each takes a descriptor at either end.
    pub(super) fn connections(self, streams: usize) -> usize {
        match self {
            Self::BulkDown | Self::BulkUp | Self::Echo | Self::Dial | Self::Resume => streams,
            Self::EchoUnderLoad => streams + LOAD_STREAMS,
            Self::StalledStream => 2 * streams + load::BYSTANDERS + 1,
            Self::LongPath | Self::Throttle => streams + load::BYSTANDERS,
            // Those of a second, and those that the slow agent serves.
            Self::Balance => 2 * streams,
            Self::Idle => streams.max(IDLE_WARM_UP),
        }
    }

    /// Whether each slot needs processes that have not served another one: memory that was once needed
    /// is not given back.
    pub(super) fn needs_fresh_processes(self) -> bool {
        matches!(self, Self::Idle | Self::StalledStream)
    }

    /// How often each side is measured, within how many `seconds` in all.
    pub(super) fn rounds(self, seconds: u32) -> u32 {
        match self {
            Self::BulkDown | Self::BulkUp | Self::Echo | Self::EchoUnderLoad | Self::Dial => {
                seconds.clamp(FEWEST_ROUNDS, MOST_ROUNDS)
            }
            Self::Idle | Self::StalledStream => FEWEST_ROUNDS,
            // What happens seldom needs time in one piece.
            Self::LongPath | Self::Resume | Self::Balance | Self::Throttle => 1,
        }
    }

    /// Whether the bare relay can serve it: its connections end when the path is cut, it has one far half, and no limits.
    pub(super) fn has_relay(self) -> bool {
        !matches!(self, Self::Resume | Self::Balance | Self::Throttle)
    }

    /// How many agents there are.
    pub(super) fn agents(self) -> usize {
        if self == Self::Balance {
            BALANCED_AGENTS
        } else {
            1
        }
    }

    /// What else the server is told.
    pub(super) fn server_flags(self) -> &'static [&'static str] {
        if self == Self::Balance {
            &["--proxy-strategies=leastLoaded", "--dial-hedging"]
        } else {
            &[]
        }
    }

    /// What is in our server's throttle file, where it has one.
    pub(super) fn throttle(self) -> Option<String> {
        (self == Self::Throttle).then(|| {
            format!(
                "apiVersion: dialback/v1\n\
                 kind: Throttle\n\
                 limits:\n\
                 - name: bench\n  per: destination\n  match: {SECOND_HOST}\n  \
                 bytesPerSecondToEndpoints: {THROTTLED_MIB}Mi\n  \
                 bytesPerSecondToFrontends: {THROTTLED_MIB}Mi\n"
            )
        })
    }

    /// What the path between the two processes is like; they meet directly if there is none.
    pub(super) fn path(self) -> Option<PathConditions> {
        match self {
            Self::LongPath => Some(PathConditions {
                delay: LONG_PATH_DELAY,
                bytes_per_second: Some(LONG_PATH_RATE),
            }),
            Self::Resume => Some(PathConditions::default()),
            Self::Balance => Some(PathConditions {
                delay: BALANCED_DELAY,
                ..PathConditions::default()
            }),
            Self::BulkDown
            | Self::BulkUp
            | Self::Echo
            | Self::EchoUnderLoad
            | Self::Dial
            | Self::StalledStream
            | Self::Throttle
            | Self::Idle => None,
        }
    }

    /// Measures `side` once, for `length`.
    pub(super) async fn measure(
        self,
        side: &Side,
        endpoint: &Endpoint,
        streams: usize,
        length: Duration,
    ) -> Result<Reading, LoadError> {
        match self {
            Self::BulkDown => bulk(side, endpoint, Direction::Down, streams, length).await,
            Self::BulkUp => bulk(side, endpoint, Direction::Up, streams, length).await,
            Self::Echo => {
                let echo = load::echo(side, streams, Window::after(WARM_UP, length)).await?;
                let value = percentile(&echo.all(), 50.0)?;
                Ok(Reading {
                    value,
                    beside: latencies(&echo)?,
                    ..Reading::default()
                })
            }
            Self::EchoUnderLoad => {
                let mut bulk = Bulk::start(side, Direction::Down, LOAD_STREAMS).await?;
                let window = Window::after(WARM_UP, length);
                let (moved, echo) = tokio::try_join!(
                    bulk.measure(side, endpoint, window),
                    load::echo(side, streams, window)
                )?;
                let mut beside = latencies(&echo)?;
                beside.push((Measure::Bulk, moved.mib_per_second()));
                Ok(Reading {
                    value: percentile(&echo.all(), 99.0)?,
                    beside,
                    work: Some((moved.cpu_seconds, moved.bytes)),
                })
            }
            Self::Dial => {
                let window = Window::after(WARM_UP, length);
                let dials = load::dial(side, streams, window).await?;
                let [p50, p99] = [50.0, 99.0].map(|percent| percentile(&dials.latencies, percent));
                Ok(Reading {
                    value: dials.per_second,
                    beside: vec![(Measure::P50, p50?), (Measure::P99, p99?)],
                    ..Reading::default()
                })
            }
            Self::StalledStream => stalled(side, streams, length).await,
            Self::LongPath => long_path(side, endpoint, streams, length).await,
            Self::Resume => resumed(side, streams, length).await,
            Self::Balance => balanced(side, endpoint, streams, length).await,
            Self::Throttle => throttled(side, endpoint, streams, length).await,
            Self::Idle => {
                let grown = load::idle(side, IDLE_WARM_UP, streams).await?;
                let larger = grown[0].max(grown[1]);
                Ok(Reading {
                    value: larger,
                    beside: vec![(Measure::ResidentPerStream, larger)],
                    ..Reading::default()
                })
            }
        }
    }
}

async fn bulk(
    side: &Side,
    endpoint: &Endpoint,
    direction: Direction,
    streams: usize,
    length: Duration,
) -> Result<Reading, LoadError> {
    let mut bulk = Bulk::start(side, direction, streams).await?;
    let window = Window::after(WARM_UP, length);
    let moved = bulk.measure(side, endpoint, window).await?;
    Ok(Reading {
        value: moved.mib_per_second(),
        work: Some((moved.cpu_seconds, moved.bytes)),
        ..Reading::default()
    })
}

async fn stalled(side: &Side, streams: usize, length: Duration) -> Result<Reading, LoadError> {
    let Stalled {
        alone,
        beside,
        grown_mib,
    } = load::stall(side, streams, length).await?;
    let value = percentile(&beside.echo.all(), 99.0)?;
    let dial = percentile(&beside.dials.latencies, 99.0)?;
    let mut measures = latencies(&beside.echo)?;
    measures.extend([
        (Measure::DialP99, dial),
        (
            Measure::EchoSlowdown,
            value / percentile(&alone.echo.all(), 99.0)?,
        ),
        (
            Measure::DialSlowdown,
            dial / percentile(&alone.dials.latencies, 99.0)?,
        ),
        (Measure::ResidentGrowth, grown_mib),
    ]);
    Ok(Reading {
        value,
        beside: measures,
        ..Reading::default()
    })
}

/// Each direction in turn; what the worse of them came to.
async fn long_path(
    side: &Side,
    endpoint: &Endpoint,
    streams: usize,
    length: Duration,
) -> Result<Reading, LoadError> {
    let mut worst = Reading {
        value: f64::INFINITY,
        ..Reading::default()
    };
    for direction in [Direction::Down, Direction::Up] {
        let mut bulk = Bulk::start(side, direction, streams).await?;
        let window = Window::after(LONG_PATH_RAMP, length / 2);
        let (moved, echo) = tokio::try_join!(
            bulk.measure(side, endpoint, window),
            load::echo(side, load::BYSTANDERS, window)
        )?;
        drop(bulk);
        load::settle(endpoint).await?;
        if moved.mib_per_second() < worst.value {
            worst.value = moved.mib_per_second();
        }
        worsen(&mut worst.beside, latencies(&echo)?);
    }
    Ok(worst)
}

async fn resumed(side: &Side, streams: usize, length: Duration) -> Result<Reading, LoadError> {
    let path = side.path().ok_or(LoadError::NoPath)?;
    let Resumed {
        outages,
        cuts,
        freezes,
        streams_lost,
        bytes_wrong,
    } = load::resume(side, path, streams, length).await?;
    Ok(Reading {
        value: percentile(&outages, 50.0)? / 1000.0,
        beside: vec![
            (Measure::P50, percentile(&outages, 50.0)?),
            (Measure::P99, percentile(&outages, 99.0)?),
            (Measure::Cuts, cuts as f64),
            (Measure::Freezes, freezes as f64),
            (Measure::StreamsLost, streams_lost as f64),
            (Measure::BytesWrong, bytes_wrong as f64),
        ],
        ..Reading::default()
    })
}

async fn balanced(
    side: &Side,
    endpoint: &Endpoint,
    per_second: usize,
    length: Duration,
) -> Result<Reading, LoadError> {
    let Balanced {
        healthy,
        ill,
        lost,
        spread,
    } = load::balance(side, endpoint, per_second, BALANCED_DELAY, length).await?;
    let (median, late) = (percentile(&healthy, 50.0)?, percentile(&ill, 99.0)?);
    Ok(Reading {
        value: late,
        beside: vec![
            (Measure::P50, percentile(&ill, 50.0)?),
            (Measure::P99, late),
            (Measure::HealthyP50, median),
            (Measure::LateToHealthy, late / median),
            (Measure::Spread, 100.0 * spread),
            (Measure::DialsLost, lost as f64),
        ],
        ..Reading::default()
    })
}

async fn throttled(
    side: &Side,
    endpoint: &Endpoint,
    streams: usize,
    length: Duration,
) -> Result<Reading, LoadError> {
    let Throttled { alone, beside } = load::throttle(side, endpoint, streams, length).await?;
    let limit = f64::from(THROTTLED_MIB);
    let (mut value, mut measures) = (limit, Vec::new());
    for (moved, echo) in &beside {
        if (moved - limit).abs() >= (value - limit).abs() {
            value = *moved;
        }
        worsen(&mut measures, latencies(echo)?);
    }
    let late = beside.iter().map(|(_, echo)| percentile(&echo.all(), 99.0));
    let late = late.collect::<Result<Vec<_>, _>>()?.into_iter();
    let slowdown = late.fold(0.0, f64::max) / percentile(&alone.all(), 99.0)?;
    measures.extend([(Measure::EchoSlowdown, slowdown), (Measure::Limit, limit)]);
    Ok(Reading {
        value,
        beside: measures,
        ..Reading::default()
    })
}

/// Has `worst` tell the larger number of each measure.
fn worsen(worst: &mut Vec<(Measure, f64)>, measures: Vec<(Measure, f64)>) {
    for (measure, number) in measures {
        match worst.iter_mut().find(|(which, _)| *which == measure) {
            Some((_, most)) => *most = most.max(number),
            None => worst.push((measure, number)),
        }
    }
}

fn latencies(echo: &Streams) -> Result<Vec<(Measure, f64)>, LoadError> {
    let all = echo.all();
    Ok(vec![
        (Measure::P50, percentile(&all, 50.0)?),
        (Measure::P99, percentile(&all, 99.0)?),
        (
            Measure::WorstP99,
            echo.worst_us(99.0).ok_or(LoadError::Silent)?,
        ),
    ])
}

fn percentile(latencies: &Latencies, percent: f64) -> Result<f64, LoadError> {
    latencies.percentile_us(percent).ok_or(LoadError::Silent)
}
