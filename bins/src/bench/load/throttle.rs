//! Streams to a destination that the server limits, and bystanders that go to another one.

use std::time::Duration;

use super::{BYSTANDERS, Bulk, Direction, LoadError, Window, echo, settle};
use crate::bench::endpoint::Endpoint;
use crate::bench::side::Side;
use crate::bench::statistics::Streams;

/// Time for a limit's burst to be used up, and for buffers to fill.
const RAMP: Duration = Duration::from_secs(1);

/// What a limit came to.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Throttled {
    /// What bystanders saw with nobody else there.
    pub(in crate::bench) alone: Streams,
    /// What passed, and what bystanders saw meanwhile: downwards, then upwards.
    pub(in crate::bench) beside: [(f64, Streams); 2],
}

/// Measures bystanders for a third of `length`; then, for a third each, `streams` streams to the endpoint's second
/// address that take as much as they get, first from it and then to it, with bystanders beside them.
pub(in crate::bench) async fn throttle(
    side: &Side,
    endpoint: &Endpoint,
    streams: usize,
    length: Duration,
) -> Result<Throttled, LoadError> {
    let alone = echo(side, BYSTANDERS, Window::after(RAMP, length / 3)).await?;
    let down = limited(side, endpoint, Direction::Down, streams, length / 3).await?;
    settle(endpoint).await?;
    let up = limited(side, endpoint, Direction::Up, streams, length / 3).await?;
    Ok(Throttled {
        alone,
        beside: [down, up],
    })
}

async fn limited(
    side: &Side,
    endpoint: &Endpoint,
    direction: Direction,
    streams: usize,
    length: Duration,
) -> Result<(f64, Streams), LoadError> {
    let address = endpoint.second_address();
    let mut bulk = Bulk::start_at(address, side, direction, streams).await?;
    let window = Window::after(RAMP, length);
    let (moved, echo) = tokio::try_join!(
        bulk.measure(side, endpoint, window),
        echo(side, BYSTANDERS, window)
    )?;
    Ok((moved.mib_per_second(), echo))
}
