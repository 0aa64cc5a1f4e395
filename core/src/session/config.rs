//! The bounds of one session.

use std::time::Duration;

/// How long a tunnel outlives its transport, what that may cost, and how soon a dead transport is noticed. Only for
/// tunnels with `resume/1`.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// `--resume-timeout`: how long streams wait for another transport. Default 30 s.
    pub timeout: Duration,
    /// Bytes of packets that may wait for the peer's acknowledgement; at the bound nothing more is sent until some
    /// were acknowledged. Default 16 MiB, twice the largest stream window.
    ///
    /// Smaller than the bandwidth-delay product of the path, it costs throughput.
    pub retained_bytes: usize,
    /// Bytes taken after which an `ACK` is due. Default 256 KiB; far below any peer's `retained_bytes`.
    pub acknowledge_bytes: usize,
    /// Packets taken after which an `ACK` is due. Default 256.
    pub acknowledge_packets: u64,
    /// How long a packet may go without an `ACK`. Default 100 ms.
    pub acknowledge_delay: Duration,
    /// How long a peer may be quiet before it is asked for an answer. Default 15 s.
    pub idle_probe: Duration,
    /// How long the peer may leave something unacknowledged, and say nothing else, before the transport counts as
    /// dead. Default 10 s, so that with `idle_probe` a loss is noticed before the other side's `timeout` has passed;
    /// doubled, three times at most, after each resumption that led to no acknowledgement.
    pub silence_timeout: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            retained_bytes: 16 * 1024 * 1024,
            acknowledge_bytes: 256 * 1024,
            acknowledge_packets: 256,
            acknowledge_delay: Duration::from_millis(100),
            idle_probe: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(10),
        }
    }
}
