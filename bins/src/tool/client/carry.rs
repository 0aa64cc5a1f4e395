//! Bytes between a local connection and an endpoint.

use std::io::{self, IsTerminal as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::{Instant, interval_at};

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

/// How much has passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passed {
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Passed {
    /// Tells of a transfer that takes long, once a second, where somebody can see it: on a terminal that the
    /// transfer itself doesn't use.
    pub(crate) async fn tell(&self) {
        const EVERY: Duration = Duration::from_secs(1);
        let is_free = !io::stdin().is_terminal() && !io::stdout().is_terminal();
        if !(is_free && io::stderr().is_terminal()) {
            return std::future::pending().await;
        }
        let mut ticks = interval_at(Instant::now() + 2 * EVERY, EVERY);
        loop {
            ticks.tick().await;
            let sent = self.sent.load(Ordering::Relaxed);
            let received = self.received.load(Ordering::Relaxed);
            eprint!(
                "\r{} sent, {} received ",
                mebibytes(sent),
                mebibytes(received)
            );
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    stream: S,
    passed: Passed,
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: S) -> (Self, Passed) {
        let passed = Passed::default();
        let counted = Self {
            stream,
            passed: passed.clone(),
        };
        (counted, passed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().len() - before;
        self.passed
            .received
            .fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.passed
            .sent
            .fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
