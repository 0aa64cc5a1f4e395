//! Dials at a steady pace over several agents, of which two fall ill.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{LoadError, OVERTIME, settle};
use crate::bench::endpoint::{Endpoint, Role};
use crate::bench::frontend::{Frontend, Stream};
use crate::bench::side::Side;
use crate::bench::statistics::Latencies;

/// How long a connection is used.
const USED: Duration = Duration::from_millis(100);

/// How many times as long the path of the slow agent becomes.
const SLOWNESS: u32 = 50;

/// What dials came to.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Balanced {
    /// How long each took while all agents were well.
    pub(in crate::bench) healthy: Latencies,
    /// How long each took once two were ill.
    pub(in crate::bench) ill: Latencies,
    /// Dials that failed, and connections that did not carry what they had to.
    pub(in crate::bench) lost: usize,
    /// How far the agent that served the most, or the least, of those that stayed well is from their mean, as a part
    /// of it.
    pub(in crate::bench) spread: f64,
}

/// Dials `per_second` times a second for `length`. From the middle on one agent's path, of `delay` each way, is 50
/// times as long and another's lets nothing through.
pub(in crate::bench) async fn balance(
    side: &Side,
    endpoint: &Endpoint,
    per_second: usize,
    delay: Duration,
    length: Duration,
) -> Result<Balanced, LoadError> {
    let [well @ .., slow, black_hole] = side.paths() else {
        return Err(LoadError::NoPath);
    };
    let (healthy, lost_before) = dials(side, per_second, length / 2).await?;
    // Else the end of a connection might be swallowed too.
    settle(endpoint).await?;
    for direction in [&slow.towards_target, &slow.back] {
        direction.delay(SLOWNESS * delay);
    }
    black_hole.freeze();
    let before = side.served().await?;
    let (ill, lost) = dials(side, per_second, length / 2).await?;
    let after = side.served().await?;
    let served = before.iter().zip(&after).take(well.len());
    let served: Vec<_> = served
        .map(|(before, after)| after.saturating_sub(*before))
        .collect();
    Ok(Balanced {
        healthy,
        ill,
        lost: lost_before + lost,
        spread: spread(&served).ok_or(LoadError::Silent)?,
    })
}

/// How long the dials took that were answered, and how many were lost.
async fn dials(
    side: &Side,
    per_second: usize,
    length: Duration,
) -> Result<(Latencies, usize), LoadError> {
    let pause = Duration::from_secs(1).div_f64(per_second as f64);
    let (begin, mut jobs) = (Instant::now(), JoinSet::new());
    // Whatever becomes of a dial, the next one comes at its time.
    for number in 0.. {
        let at = begin + pause * number;
        if at >= begin + length {
            break;
        }
        sleep_until(at).await;
        jobs.spawn(dial(Arc::clone(&side.frontend)));
    }
    let (mut samples, mut lost) = (Vec::new(), 0);
    while let Some(ended) = jobs.join_next().await {
        match ended? {
            Ok(took) => samples.push(took),
            Err(_) => lost += 1,
        }
    }
    Ok((Latencies::new(samples), lost))
}

/// How long one dial takes; then a byte goes there and back, and the connection stays for a while.
async fn dial(frontend: Arc<Frontend>) -> Result<Duration, LoadError> {
    let dialled = Instant::now();
    let stream = frontend.dial(Role::Echo).await?;
    let took = dialled.elapsed();
    let used = timeout(OVERTIME, exchange(stream)).await;
    used.unwrap_or(Err(LoadError::Silent))?;
    Ok(took)
}

async fn exchange(mut stream: Stream) -> Result<(), LoadError> {
    const BYTE: u8 = 0x2a;
    stream.write_all(&[BYTE]).await?;
    stream.flush().await?;
    if stream.read_u8().await? != BYTE {
        return Err(LoadError::Altered);
    }
    sleep(USED).await;
    Ok(())
}

/// The largest distance from the mean, as a part of it; `None` if nothing was served.
fn spread(served: &[u64]) -> Option<f64> {
    let mean = served.iter().sum::<u64>() as f64 / served.len() as f64;
    let farthest = served
        .iter()
        .map(|served| (*served as f64 - mean).abs())
        .reduce(f64::max)?;
    (mean > 0.0).then(|| farthest / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_the_largest_distance_from_the_mean() {
        assert_eq!(spread(&[100, 100, 100]), Some(0.0));
        assert_eq!(spread(&[80, 100, 120]), Some(0.2));
        assert_eq!(spread(&[60, 120, 120]), Some(0.4));
        assert_eq!(spread(&[0, 0]), None);
        assert_eq!(spread(&[]), None);
    }
}
