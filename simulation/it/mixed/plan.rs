//! What a seed stands for.

use std::time::Duration;

use dialback_simulation::cast::Way;
use dialback_simulation::{PathConfig, Told};
use fastrand::Rng;

use super::fault::Fault;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything.
    Mixed,
    /// The way between agents and servers is interrupted, but never for longer than tunnels outlive.
    Resumed,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    /// Agents speak plain Konnectivity.
    pub(super) plain: bool,
    pub(super) servers: usize,
    pub(super) agents: usize,
    /// Between agents and servers.
    pub(super) path: PathConfig,
    /// Credit of a new stream.
    pub(super) window_bytes: u64,
    pub(super) streams: Vec<StreamPlan>,
    /// Each with the time since the one before.
    pub(super) faults: Vec<(Duration, Fault)>,
}

#[derive(Clone, Debug)]
pub(super) struct StreamPlan {
    pub(super) index: usize,
    pub(super) way: Way,
    /// The server that is dialled through.
    pub(super) server: usize,
    pub(super) starts: Duration,
    pub(super) upload: Load,
    pub(super) download: Load,
    pub(super) ending: Ending,
}

/// One direction of a stream.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) bytes: usize,
    pub(super) writer: Pace,
    pub(super) reader: Pace,
}

/// How fast somebody is.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    pub(super) chunk_bytes: usize,
    /// After every chunk.
    pub(super) pause: Duration,
    /// After the first chunk, once.
    pub(super) freeze: Duration,
}

/// Who ends a stream, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The frontend ends its direction when it has sent all, the endpoint answers with the end of its own.
    FrontendFirst,
    /// The endpoint closes when it has sent and received all.
    EndpointFirst,
    /// The frontend goes away after so long.
    FrontendLeaves(Duration),
    /// The endpoint resets the connection after so long.
    EndpointResets(Duration),
}

impl Plan {
    pub(super) fn random(seed: u64, kind: Kind) -> Self {
        // Apart from the network's own.
        let rng = &mut Rng::with_seed(seed ^ 0x5eed_0000_0000);
        let plain = kind == Kind::Mixed && rng.u8(..4) == 0;
        let (servers, agents) = (rng.usize(1..=2), rng.usize(1..=2));
        let streams = (0..rng.usize(1..=12))
            .map(|index| StreamPlan::random(rng, index, servers, plain, kind))
            .collect();
        let faults = (0..rng.usize(0..=8))
            .map(|_| {
                let wait = millis(rng, 50..=12_000);
                (wait, Fault::random(rng, kind, servers, agents))
            })
            .collect();
        Self {
            kind,
            plain,
            servers,
            agents,
            path: path(rng),
            window_bytes: rng.u64(1..=4) * 64 * 1024,
            streams,
            faults,
        }
    }
}

impl StreamPlan {
    fn random(rng: &mut Rng, index: usize, servers: usize, plain: bool, kind: Kind) -> Self {
        let orderly = kind == Kind::Resumed;
        let ending = match rng.u8(..8) {
            0 if !orderly => Ending::FrontendLeaves(millis(rng, 0..=20_000)),
            1 if !orderly => Ending::EndpointResets(millis(rng, 0..=20_000)),
            // Plain Konnectivity knows no half-close.
            2..5 if !plain => Ending::FrontendFirst,
            _ => Ending::EndpointFirst,
        };
        Self {
            index,
            way: if rng.bool() { Way::Grpc } else { Way::Connect },
            server: rng.usize(..servers),
            // Dials have a bound of their own, which is not what is looked at there.
            starts: millis(rng, if orderly { 0..=0 } else { 0..=40_000 }),
            upload: Load::random(rng),
            download: Load::random(rng),
            ending,
        }
    }
}

impl Load {
    fn random(rng: &mut Rng) -> Self {
        let bytes = match rng.u8(..4) {
            0 => rng.usize(..100),
            1 | 2 => rng.usize(..20_000),
            _ => rng.usize(..600_000),
        };
        Self {
            bytes,
            writer: Pace::random(rng, bytes),
            reader: Pace::random(rng, bytes),
        }
    }
}

impl Pace {
    fn random(rng: &mut Rng, bytes: usize) -> Self {
        let chunk_bytes = rng.usize(1..=32_768);
        // Half a minute for all at the most.
        let chunks = (bytes / chunk_bytes + 1).min(30_000);
        let slowest = 30_000 / chunks as u64;
        let is_slow = rng.bool();
        let is_frozen = rng.u8(..4) == 0;
        Self {
            // Of the many that would be tiny, some.
            chunk_bytes: chunk_bytes.max(bytes / 300),
            pause: millis(rng, 0..=if is_slow { slowest } else { 0 }),
            freeze: millis(rng, 0..=if is_frozen { 20_000 } else { 0 }),
        }
    }
}

fn path(rng: &mut Rng) -> PathConfig {
    PathConfig {
        latency: Duration::from_micros(rng.u64(50..=80_000)),
        jitter: Duration::from_micros(rng.u64(0..=20_000)),
        bytes_per_second: 200_000 << rng.u32(0..=9),
        buffer_bytes: 16_384 << rng.u32(0..=4),
    }
}

pub(super) fn millis(rng: &mut Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

pub(super) fn told(rng: &mut Rng) -> Told {
    let all = [Told::Both, Told::First, Told::Second, Told::Neither];
    all[rng.usize(..all.len())]
}
