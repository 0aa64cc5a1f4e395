//! What can be measured, and how each measurement goes.

use std::time::Duration;

use super::endpoint::Endpoint;
use super::figure::Reading;
use super::load::{self, Bulk, Direction, LoadError, Stall, Window};
use super::side::Side;
use super::statistics::Latencies;

/// Time for buffers to fill and windows to open before a slot is measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// The bulk streams of `echo-under-load`.
const LOAD_STREAMS: usize = 4;

/// Streams opened and closed before idle ones are counted.
const IDLE_WARM_UP: usize = 32;

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
    /// Time of a small exchange beside a stream whose reader has stopped
    StalledStream,
    /// Memory of a connection that says nothing
    Idle,
}

impl Scenario {
    pub(super) const ALL: [Self; 7] = [
        Self::BulkDown,
        Self::BulkUp,
        Self::Echo,
        Self::EchoUnderLoad,
        Self::Dial,
        Self::StalledStream,
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
            Self::Idle => "idle",
        }
    }

    /// The unit of [`Reading::value`].
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::BulkDown | Self::BulkUp => "MiB/s",
            Self::Echo => "us p50",
            Self::EchoUnderLoad | Self::StalledStream => "us p99",
            Self::Dial => "dials/s",
            Self::Idle => "KiB/stream",
        }
    }

    /// How many streams there are if the operator does not say.
    pub(super) fn default_streams(self) -> usize {
        match self {
            Self::BulkDown | Self::BulkUp => 4,
            Self::Echo | Self::EchoUnderLoad | Self::StalledStream => 1,
            Self::Dial => 8,
            Self::Idle => 1000,
        }
    }

    /// The most connections open at a time, of which each takes a descriptor at either end.
    pub(super) fn connections(self, streams: usize) -> usize {
        match self {
            Self::BulkDown | Self::BulkUp | Self::Echo | Self::Dial => streams,
            Self::EchoUnderLoad => streams + LOAD_STREAMS,
            Self::StalledStream => streams + 2,
            Self::Idle => streams.max(IDLE_WARM_UP),
        }
    }

    /// Whether each slot needs processes that have not served another one: memory that was once needed
    /// is not given back.
    pub(super) fn needs_fresh_processes(self) -> bool {
        self == Self::Idle
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
                let window = Window::after(WARM_UP, length);
                let latencies = load::echo(side, streams, window).await?;
                Ok(Reading {
                    value: percentile(&latencies, 50.0)?,
                    ..latency(&latencies)?
                })
            }
            Self::EchoUnderLoad => {
                let mut bulk = Bulk::start(side, Direction::Down, LOAD_STREAMS).await?;
                let window = Window::after(WARM_UP, length);
                let (moved, latencies) = tokio::try_join!(
                    bulk.measure(side, endpoint, window),
                    load::echo(side, streams, window)
                )?;
                Ok(Reading {
                    value: percentile(&latencies, 99.0)?,
                    bulk_mib_s: Some(moved.mib_per_second()),
                    work: Some((moved.cpu_seconds, moved.bytes)),
                    ..latency(&latencies)?
                })
            }
            Self::Dial => {
                let window = Window::after(WARM_UP, length);
                let dials = load::dial(side, streams, window).await?;
                Ok(Reading {
                    value: dials.per_second,
                    ..latency(&dials.latencies)?
                })
            }
            Self::StalledStream => stalled(side, endpoint, streams, length).await,
            Self::Idle => {
                let grown = load::idle(side, IDLE_WARM_UP, streams).await?;
                let larger = grown[0].max(grown[1]);
                Ok(Reading {
                    value: larger,
                    rss_kib: Some(larger),
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

/// The worse of two parts: first a frontend stops reading, then an endpoint.
async fn stalled(
    side: &Side,
    endpoint: &Endpoint,
    streams: usize,
    length: Duration,
) -> Result<Reading, LoadError> {
    let (mut p50, mut p99, mut dial_p99) = (0.0_f64, 0.0_f64, 0.0_f64);
    for who in [Stall::Frontend, Stall::Endpoint] {
        let bystanders = load::stall(side, who, streams, length / 2).await?;
        load::settle(endpoint).await?;
        for (worse, latencies, percent) in [
            (&mut p50, &bystanders.echo, 50.0),
            (&mut p99, &bystanders.echo, 99.0),
            (&mut dial_p99, &bystanders.dials.latencies, 99.0),
        ] {
            *worse = worse.max(percentile(latencies, percent)?);
        }
    }
    Ok(Reading {
        value: p99,
        p50: Some(p50),
        p99: Some(p99),
        dial_p99: Some(dial_p99),
        ..Reading::default()
    })
}

fn latency(latencies: &Latencies) -> Result<Reading, LoadError> {
    Ok(Reading {
        p50: Some(percentile(latencies, 50.0)?),
        p99: Some(percentile(latencies, 99.0)?),
        ..Reading::default()
    })
}

fn percentile(latencies: &Latencies, percent: f64) -> Result<f64, LoadError> {
    latencies.percentile_us(percent).ok_or(LoadError::Silent)
}
