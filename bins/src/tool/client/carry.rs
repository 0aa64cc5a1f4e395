//! Bytes between a local connection and an endpoint.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};

/// What is copied at a time, in bytes each way.
const BUFFER: usize = 64 * 1024;

/// Copies both ways until both have ended; the end of one is passed on as such.
pub(crate) async fn carry(
    local: &mut (impl AsyncRead + AsyncWrite + Unpin),
    remote: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> io::Result<()> {
    copy_bidirectional_with_sizes(local, remote, BUFFER, BUFFER)
        .await
        .map(drop)
}
