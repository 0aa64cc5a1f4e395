//! Streams that are open and say nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use super::LoadError;
use crate::bench::endpoint::Role;
use crate::bench::frontend::Stream;
use crate::bench::process::resident_kib;
use crate::bench::side::Side;

/// What each stream carries, each way, before it falls idle, in bytes: connections that never carried
/// anything are not what a frontend keeps.
const CARRIED: usize = 32 * 1024;

/// Memory has settled when two looks this far apart see the same.
const SETTLE: Duration = Duration::from_millis(100);

/// How long it may take to settle.
const SETTLE_LIMIT: Duration = Duration::from_secs(3);

/// Opens `streams` streams and tells by how much each of the side's two processes grows for it, in KiB per
/// stream.
///
/// A `warm_up`, streams opened and closed before, takes out what is needed once and not for each.
pub(in crate::bench) async fn idle(
    side: &Side,
    warm_up: usize,
    streams: usize,
) -> Result<[f64; 2], LoadError> {
    drop(open(side, warm_up).await?);
    let before = settled(side).await?;
    let held = open(side, streams).await?;
    let after = settled(side).await?;
    drop(held);
    Ok([0, 1].map(|process| (after[process] as f64 - before[process] as f64) / streams as f64))
}

async fn open(side: &Side, streams: usize) -> Result<Vec<Stream>, LoadError> {
    let mut open = Vec::with_capacity(streams);
    let sent = vec![0x33; CARRIED];
    let mut received = vec![0; CARRIED];
    for _ in 0..streams {
        let mut stream = side.frontend.dial(Role::Echo).await?;
        // The buffers on the way hold this much, so that writing it all before reading cannot block.
        stream.write_all(&sent).await?;
        stream.flush().await?;
        stream.read_exact(&mut received).await?;
        if received != sent {
            return Err(LoadError::Altered);
        }
        open.push(stream);
    }
    Ok(open)
}

async fn settled(side: &Side) -> Result<[u64; 2], LoadError> {
    let look = || {
        let [near, far] = side.pids();
        Ok::<_, LoadError>([
            resident_kib(near).map_err(LoadError::Process)?,
            resident_kib(far).map_err(LoadError::Process)?,
        ])
    };
    let limit = Instant::now() + SETTLE_LIMIT;
    let mut last = look()?;
    loop {
        sleep(SETTLE).await;
        let now = look()?;
        if now == last || Instant::now() >= limit {
            return Ok(now);
        }
        last = now;
    }
}
