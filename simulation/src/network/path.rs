//! The way from one host to another.

use std::collections::BTreeMap;
use std::time::Duration;

use super::host_state::HostId;

/// What a way between two hosts is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathConfig {
    /// How long a byte travels in one direction. Default 1 ms.
    pub latency: Duration,
    /// What is added to that at most, differently every time; bytes of one connection stay in order. Default 200 µs.
    pub jitter: Duration,
    /// Shared by all connections of the direction. Default 125,000,000, a gigabit.
    pub bytes_per_second: u64,
    /// What the socket buffers of both ends hold together: bytes of a direction that are sent and not yet read.
    /// Default 256 KiB. Counts for connections that are made from then on.
    pub buffer_bytes: usize,
}

impl Default for PathConfig {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::from_micros(200),
            bytes_per_second: 125_000_000,
            buffer_bytes: 256 * 1024,
        }
    }
}

impl PathConfig {
    /// Within one host.
    const LOOPBACK: Self = Self {
        latency: Duration::from_micros(20),
        jitter: Duration::ZERO,
        bytes_per_second: 1_000_000_000,
        buffer_bytes: 256 * 1024,
    };
}

/// One direction between two hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    pub(crate) config: PathConfig,
    /// When all that was sent so far will have left.
    pub(crate) free_at: Duration,
    /// Since when nothing gets through.
    pub(crate) blocked_since: Option<Duration>,
}

/// All ways that were ever taken.
#[derive(Debug, Default)]
pub(crate) struct Paths(BTreeMap<(HostId, HostId), Path>);

impl Paths {
    pub(crate) fn get(&mut self, from: HostId, to: HostId) -> &mut Path {
        self.0.entry((from, to)).or_insert_with(|| {
            let config = if from == to {
                PathConfig::LOOPBACK
            } else {
                PathConfig::default()
            };
            Path {
                config,
                ..Path::default()
            }
        })
    }

    pub(crate) fn blocked_since(&self, from: HostId, to: HostId) -> Option<Duration> {
        self.0.get(&(from, to))?.blocked_since
    }
}
