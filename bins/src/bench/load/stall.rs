//! Streams whose readers take nothing while there is more for them than any buffer holds, and bystanders.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Dials, LoadError, Window, dial, echo};
use crate::bench::endpoint::{CHUNK, Role};
use crate::bench::frontend::Stream;
use crate::bench::process::resident_kib;
use crate::bench::side::Side;
use crate::bench::statistics::Streams;

/// Echo streams that have nothing to do with the stalled ones.
pub(in crate::bench) const BYSTANDERS: usize = 4;

/// Time for buffers to fill, before bystanders are measured, and for memory to have been used once.
const FILL: Duration = Duration::from_millis(300);

/// What bystanders saw, without and beside stalled streams, and what these cost.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Stalled {
    /// Nobody stalls.
    pub(in crate::bench) alone: Bystanders,
    /// Frontends and endpoints have stopped reading.
    pub(in crate::bench) beside: Bystanders,
    /// By how much the process that grew more grew, in MiB.
    pub(in crate::bench) grown_mib: f64,
}

/// What bystanders saw.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Bystanders {
    /// Echo streams.
    pub(in crate::bench) echo: Streams,
    /// New dials.
    pub(in crate::bench) dials: Dials,
}

/// Measures bystanders for half of `length`; then stalls `streams` frontends to which the endpoint sends without
/// end, and as many endpoints to which a frontend does, and measures them again.
pub(in crate::bench) async fn stall(
    side: &Side,
    streams: usize,
    length: Duration,
) -> Result<Stalled, LoadError> {
    let alone = bystanders(side, length / 2).await?;
    let before = resident(side)?;
    let mut unread: Vec<Stream> = Vec::new();
    // Dropped, and with it the streams closed, when the bystanders are done.
    let mut writers = JoinSet::new();
    for _ in 0..streams {
        unread.push(side.frontend.dial(Role::Source).await?);
        let mut stream = side.frontend.dial(Role::Blackhole).await?;
        writers.spawn(async move {
            let chunk = vec![0xa5; CHUNK];
            loop {
                if let Err(error) = stream.write_all(&chunk).await {
                    return error;
                }
            }
        });
    }
    let beside = bystanders(side, length / 2).await?;
    let after = resident(side)?;
    if let Some(ended) = writers.try_join_next() {
        return Err(LoadError::BulkEnded(ended?));
    }
    let grown = [0, 1].map(|process| after[process] as f64 - before[process] as f64);
    Ok(Stalled {
        alone,
        beside,
        grown_mib: grown[0].max(grown[1]) / 1024.0,
    })
}

async fn bystanders(side: &Side, length: Duration) -> Result<Bystanders, LoadError> {
    sleep(FILL).await;
    let window = Window::after(Duration::ZERO, length);
    let (echo, dials) = tokio::try_join!(echo(side, BYSTANDERS, window), dial(side, 1, window))?;
    Ok(Bystanders { echo, dials })
}

fn resident(side: &Side) -> Result<[u64; 2], LoadError> {
    let [near, far] = side.pids();
    Ok([
        resident_kib(near).map_err(LoadError::Process)?,
        resident_kib(far).map_err(LoadError::Process)?,
    ])
}
