//! The bounds of one tunnel at the frontend.

use std::time::Duration;

/// The most payload a DATA packet may carry: peers refuse messages above 4 MiB, and end the stream over one.
const LARGEST_DATA_BYTES: usize = 4 * 1024 * 1024 - 1024;

/// How much one tunnel may hold and how long it may wait.
#[derive(Clone, Debug)]
pub struct TunnelConfig {
    /// How long a dial may go without an answer. Default 30 s.
    ///
    /// Source: Konnectivity client, `konnectivity-client/pkg/client/client.go`, `DialContext`.
    pub dial_timeout: Duration,
    /// How long a close may go without progress: queued bytes taken by the transport, then `CLOSE_RSP`.
    /// Default 10 s.
    ///
    /// Source: Konnectivity client, `konnectivity-client/pkg/client/conn.go`, `CloseTimeout`.
    pub close_timeout: Duration,
    /// Largest payload of one DATA packet, in bytes. Default 64 KiB.
    ///
    /// Smaller values cost throughput, larger ones delay the other streams of the agent. Kept between 1 byte
    /// and what the 4 MiB limit of every peer leaves room for.
    pub max_data_bytes: usize,
    /// Bytes that may wait for the reader before the stream is no longer read. Default 256 KiB; at least 1.
    pub read_buffer_bytes: usize,
    /// Bytes that may wait for the transport before no more are accepted. Default 256 KiB; at least 1.
    pub write_buffer_bytes: usize,
}

impl Default for TunnelConfig {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
            max_data_bytes: 64 * 1024,
            read_buffer_bytes: 256 * 1024,
            write_buffer_bytes: 256 * 1024,
        }
    }
}

impl TunnelConfig {
    /// The same with every bound in its range.
    pub(super) fn in_range(self) -> Self {
        Self {
            max_data_bytes: self.max_data_bytes.clamp(1, LARGEST_DATA_BYTES),
            read_buffer_bytes: self.read_buffer_bytes.max(1),
            write_buffer_bytes: self.write_buffer_bytes.max(1),
            ..self
        }
    }
}
