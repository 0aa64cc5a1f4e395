//! The bounds of one link's streams.

use std::time::Duration;

use crate::memory::MemoryBudget;

/// How much one link may hold and how long it may wait; shared by both ends of a tunnel.
///
/// Every field is a bound with a documented reaction. The defaults suit a few thousand streams a link.
#[derive(Clone, Debug)]
pub struct MuxConfig {
    /// Bytes a stream may have waiting for the tunnel before its local source is paused. Default 256 KiB.
    ///
    /// Smaller values cost throughput on long paths, larger ones memory per stalled stream.
    pub send_buffer_bytes: usize,
    /// Bytes a stream may have waiting for its local reader when the peer knows no credit. Default 4 MiB.
    ///
    /// At this bound the whole tunnel stops being read, since a plain Konnectivity peer has no signal for
    /// one stream; see [`MuxConfig::slow_stream_timeout`].
    pub receive_buffer_bytes: usize,
    /// Credit in bytes granted to the peer on each new stream when `flow-control/1` is negotiated. Default
    /// 256 KiB.
    pub receive_window_bytes: u64,
    /// What that credit may grow to, in bytes, on a stream whose path holds more. Default 8 MiB.
    pub max_receive_window_bytes: u64,
    /// What all links that share it may hold. Default 256 MiB.
    pub memory: MemoryBudget,
    /// Largest payload of one DATA packet, in bytes. Default 64 KiB; peers refuse messages above 4 MiB.
    pub max_data_bytes: usize,
    /// How long a stream at its bound may take nothing before it alone is reset. Default 10 s.
    pub slow_stream_timeout: Duration,
    /// How long a closing stream may go without a byte moving, or without the answer. Default 30 s.
    ///
    /// An endpoint's close is not held to it while its last bytes wait for the frontend to read on.
    pub close_timeout: Duration,
    /// Streams a link may carry, pending dials included; further dials are refused. Default 16,384.
    ///
    /// As many packets about streams may wait for the transport.
    pub max_streams: usize,
    /// Replies to unknown ids that may wait for the tunnel; further ones are dropped. Default 16,384.
    ///
    /// A peer that floods unknown ids and reads nothing is thus answered less, and costs little memory. Below the
    /// number of connections that an honest peer may have, one that it opened too late could be left open there.
    pub max_unknown_replies: usize,
}

impl Default for MuxConfig {
    fn default() -> Self {
        Self {
            send_buffer_bytes: 256 * 1024,
            receive_buffer_bytes: 4 * 1024 * 1024,
            receive_window_bytes: 256 * 1024,
            max_receive_window_bytes: 8 * 1024 * 1024,
            memory: MemoryBudget::default(),
            max_data_bytes: 64 * 1024,
            slow_stream_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(30),
            max_streams: 16 * 1024,
            max_unknown_replies: 16 * 1024,
        }
    }
}
