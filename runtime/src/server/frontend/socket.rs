//! What a frontend's connection may be: a plain socket, or TLS over one.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::net::Socket;

/// A frontend's byte stream.
pub(super) trait FrontendSocket: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether one read of the peer may return what was written at two times. A TLS client reads one record at
    /// a time.
    const MERGES_WRITES: bool;

    /// Makes the coming close one that the peer can't mistake for an orderly end: a TCP reset, and under TLS no
    /// `close_notify`. A Unix socket has no such thing.
    fn reset_on_close(&self) -> io::Result<()>;
}

impl<S: Socket> FrontendSocket for S {
    const MERGES_WRITES: bool = true;

    fn reset_on_close(&self) -> io::Result<()> {
        Socket::reset_on_close(self)
    }
}

impl<S: Socket> FrontendSocket for TlsStream<S> {
    const MERGES_WRITES: bool = false;

    fn reset_on_close(&self) -> io::Result<()> {
        self.get_ref().0.reset_on_close()
    }
}
