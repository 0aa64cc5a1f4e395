//! What a link holds at one moment.

use std::time::Duration;

/// What a link holds at one moment: for metrics, nothing is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkLoad {
    /// Streams of the link, those included that are being opened or closed.
    pub streams: usize,
    /// Those of them whose dials wait for an answer.
    pub pending_dials: usize,
    /// Payload bytes from local sources that wait for the tunnel.
    pub outgoing_bytes: usize,
    /// Payload bytes from the tunnel that wait for local readers.
    pub incoming_bytes: usize,
    /// Streams with bytes to send for which the peer has given no credit.
    pub stalled_streams: usize,
    /// Bytes kept for a replay (`resume/1`).
    pub retained_bytes: usize,
    /// From the newest acknowledged packet to its acknowledgement, which the peer may put off a little
    /// ([`SessionConfig::acknowledge_delay`](crate::SessionConfig::acknowledge_delay)). Without `resume/1`, and before
    /// the first acknowledgement, there is none.
    pub round_trip: Option<Duration>,
    /// How often the link went on over another transport (`resume/1`).
    pub resumptions: u64,
}
