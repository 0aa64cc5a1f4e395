//! The load generator: what frontends do to a side, and what they see of it.

mod balance;
mod bulk;
mod dial;
mod echo;
mod idle;
mod resume;
mod stall;
mod throttle;

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

pub(super) use balance::{Balanced, balance};
pub(super) use bulk::{Bulk, Direction};
use dial::Dials;
pub(super) use dial::dial;
pub(super) use echo::echo;
pub(super) use idle::idle;
pub(super) use resume::{Resumed, resume};
pub(super) use stall::{BYSTANDERS, Stalled, stall};
pub(super) use throttle::{Throttled, throttle};

use super::endpoint::Endpoint;
use super::statistics::{Latencies, Streams};

/// How long connections to the endpoint may outlive those of the frontends.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// How much longer than planned an exchange may last before it counts as lost.
const OVERTIME: Duration = Duration::from_secs(10);

/// A stretch of time that is measured, after one that is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// When measuring begins.
    pub(super) from: Instant,
    /// When it ends.
    pub(super) until: Instant,
}

impl Window {
    /// Begins after `warm_up`, counted from now, and lasts for `length`.
    pub(super) fn after(warm_up: Duration, length: Duration) -> Self {
        let from = Instant::now() + warm_up;
        Self {
            from,
            until: from + length,
        }
    }

    /// How long it lasts, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.until.duration_since(self.from).as_secs_f64()
    }
}

/// The load could not be kept up, so there is no figure.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A connection could not be made or broke.
    #[error("a connection failed: {0}")]
    Connection(#[from] io::Error),
    /// A bulk stream ended or broke.
    #[error("a bulk stream ended before its time: {0}")]
    BulkEnded(io::Error),
    /// What was sent did not come back as it was.
    #[error("an echo came back altered")]
    Altered,
    /// What was sent did not come back at all.
    #[error("no answer came for {OVERTIME:?} after the measurement")]
    Silent,
    /// A task of the load generator panicked.
    #[error("the load generator failed: {0}")]
    Generator(#[from] tokio::task::JoinError),
    /// Connections to the endpoint outlive those of the frontends.
    #[error("{0} connections to the endpoint stay open after the frontends closed theirs")]
    LeftOpen(usize),
    /// A stream stood still though nothing kept it.
    #[error("{0} streams got nothing for {OVERTIME:?} after the path was whole again")]
    Stuck(usize),
    /// Something was to be done to a path that is not there.
    #[error("there is no path between the two processes to be cut")]
    NoPath,
    /// A process could not be looked at.
    #[error("cannot measure a process: {0}")]
    Process(#[source] io::Error),
}

/// Waits until nothing of a measurement is left on its way, so that nothing of it counts in the next.
pub(super) async fn settle(endpoint: &Endpoint) -> Result<(), LoadError> {
    endpoint
        .quiet(SETTLE_LIMIT)
        .await
        .map_err(LoadError::LeftOpen)
}

/// The times that each of `tasks` measured; their last exchanges may outlast the window for a while.
async fn gather(
    mut tasks: JoinSet<Result<Vec<Duration>, LoadError>>,
    window: Window,
) -> Result<Streams, LoadError> {
    let mut streams = Vec::new();
    let all = async {
        while let Some(measured) = tasks.join_next().await {
            streams.push(Latencies::new(measured??));
        }
        Ok(())
    };
    timeout_at(window.until + OVERTIME, all)
        .await
        .unwrap_or(Err(LoadError::Silent))?;
    Ok(Streams(streams))
}
