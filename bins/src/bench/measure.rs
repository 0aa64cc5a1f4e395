//! What a scenario tells beside its figure.

use super::statistics::median;

/// Something that is measured beside a scenario's figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Median latency, in microseconds.
    P50,
    /// 99th percentile of latency, in microseconds.
    P99,
    /// 99th percentile of the stream that fared worst, in microseconds.
    WorstP99,
    /// 99th percentile of the dials beside, in microseconds.
    DialP99,
    /// How many times the latency it would have been without what it was beside (99th percentiles).
    EchoSlowdown,
    /// The same for dials.
    DialSlowdown,
    /// What the bulk streams beside carried, in MiB/s.
    Bulk,
    /// What the operator lets pass, in MiB/s.
    Limit,
    /// Growth of the larger process, in KiB per stream.
    ResidentPerStream,
    /// Growth of the larger process, in MiB.
    ResidentGrowth,
    /// Median latency of dials while all agents were well, in microseconds.
    HealthyP50,
    /// 99th percentile of latency as a multiple of [`Measure::HealthyP50`].
    LateToHealthy,
    /// How far the agent that served the most, or the least, of those that are well is from their mean, in percent.
    Spread,
    /// Dials that failed.
    DialsLost,
    /// How often the agent's connection was cut.
    Cuts,
    /// How often the path was frozen.
    Freezes,
    /// Streams that ended before their time.
    StreamsLost,
    /// Bytes that did not come back as they were.
    BytesWrong,
}

impl Measure {
    /// Every one, in the order in which they are told.
    pub(super) const ALL: [Self; 18] = [
        Self::P50,
        Self::P99,
        Self::WorstP99,
        Self::DialP99,
        Self::EchoSlowdown,
        Self::DialSlowdown,
        Self::Bulk,
        Self::Limit,
        Self::ResidentPerStream,
        Self::ResidentGrowth,
        Self::HealthyP50,
        Self::LateToHealthy,
        Self::Spread,
        Self::DialsLost,
        Self::Cuts,
        Self::Freezes,
        Self::StreamsLost,
        Self::BytesWrong,
    ];

    /// The field of the JSON object; the relay's has `relay_` before it.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::WorstP99 => "worst_p99",
            Self::DialP99 => "dial_p99",
            Self::EchoSlowdown => "echo_slowdown",
            Self::DialSlowdown => "dial_slowdown",
            Self::Bulk => "bulk_mib_s",
            Self::Limit => "limit_mib_s",
            Self::ResidentPerStream => "rss_kib_per_stream",
            Self::ResidentGrowth => "rss_growth_mib",
            Self::HealthyP50 => "healthy_p50",
            Self::LateToHealthy => "p99_to_healthy_p50",
            Self::Spread => "spread_percent",
            Self::DialsLost => "dials_lost",
            Self::Cuts => "cuts",
            Self::Freezes => "freezes",
            Self::StreamsLost => "streams_lost",
            Self::BytesWrong => "bytes_wrong",
        }
    }

    /// What a table calls it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::WorstP99 => "worst stream's p99 us",
            Self::DialP99 => "dial p99 us",
            Self::EchoSlowdown => "echo slowdown",
            Self::DialSlowdown => "dial slowdown",
            Self::Bulk => "bulk MiB/s",
            Self::Limit => "limit MiB/s",
            Self::ResidentPerStream => "KiB/stream",
            Self::ResidentGrowth => "memory grown MiB",
            Self::HealthyP50 => "healthy p50 us",
            Self::LateToHealthy => "p99 / healthy p50",
            Self::Spread => "spread %",
            Self::DialsLost => "dials lost",
            Self::Cuts => "cuts",
            Self::Freezes => "freezes",
            Self::StreamsLost => "streams lost",
            Self::BytesWrong => "bytes wrong",
        }
    }

    /// What several slots came to: the middle of them, of memory the most, of what is counted the sum.
    pub(super) fn condense(self, slots: &[f64]) -> Option<f64> {
        match self {
            Self::P50
            | Self::P99
            | Self::WorstP99
            | Self::DialP99
            | Self::EchoSlowdown
            | Self::DialSlowdown
            | Self::Bulk
            | Self::Limit
            | Self::ResidentPerStream
            | Self::HealthyP50
            | Self::LateToHealthy
            | Self::Spread => median(slots),
            Self::ResidentGrowth => slots.iter().copied().reduce(f64::max),
            Self::DialsLost | Self::Cuts | Self::Freezes | Self::StreamsLost | Self::BytesWrong => {
                slots.iter().copied().reduce(|sum, slot| sum + slot)
            }
        }
    }
}
