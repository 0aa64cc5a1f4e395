//! What a terminal shows of transfers that take long.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, interval_at};

/// From one look at what has passed to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Whether the line that the terminal's cursor is in shows progress.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Tells of something that went wrong, in a line of its own.
pub(super) fn complain(what: impl fmt::Display) {
    let mut err = io::stderr().lock();
    let clear = if SHOWN.swap(false, Ordering::Relaxed) {
        "\r\x1b[K"
    } else {
        ""
    };
    // Whoever does not read it does without.
    let _ = writeln!(err, "{clear}dialback: {what}");
}

/// How much has passed on the connections of this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed {
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Passed {
    /// Counts the bytes of one more connection.
    pub(super) fn count<S>(&self, stream: S) -> Counted<S> {
        let passed = self.clone();
        Counted { stream, passed }
    }

    /// Tells once a second what has passed, while something does, and never ends. Only a terminal is told, and only
    /// where nothing else is written to it (`is_free`).
    pub(super) async fn tell(&self, is_free: bool) {
        if !(is_free && io::stderr().is_terminal()) {
            return std::future::pending().await;
        }
        // The shell's prompt is not to follow in the same line.
        let _line = Line;
        let mut told = (0, 0);
        let mut ticks = interval_at(Instant::now() + 2 * EVERY, EVERY);
        loop {
            ticks.tick().await;
            let now = self.so_far();
            if now != told {
                told = now;
                SHOWN.store(true, Ordering::Relaxed);
                let (sent, received) = (mebibytes(now.0), mebibytes(now.1));
                let mut err = io::stderr().lock();
                let _ = write!(err, "\r{sent} sent, {received} received\x1b[K");
            }
        }
    }

    fn so_far(&self) -> (u64, u64) {
        let sent = self.sent.load(Ordering::Relaxed);
        (sent, self.received.load(Ordering::Relaxed))
    }
}

/// A line with progress, ended when this is dropped.
struct Line;

impl Drop for Line {
    fn drop(&mut self) {
        if SHOWN.swap(false, Ordering::Relaxed) {
            let _ = writeln!(io::stderr().lock());
        }
    }
}

fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(super) struct Counted<S> {
    stream: S,
    passed: Passed,
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn all_connections_count_together() {
        let passed = Passed::default();
        for _ in 0..3 {
            let (ours, mut theirs) = duplex(64);
            let mut counted = passed.count(ours);
            counted.write_all(b"hello").await.unwrap();
            theirs.write_all(b"hi").await.unwrap();
            counted.read_exact(&mut [0; 2]).await.unwrap();
        }
        assert_eq!(passed.so_far(), (15, 6));
    }

    #[test]
    fn sizes_are_told_in_mebibytes() {
        assert_eq!(mebibytes(0), "0.0 MiB");
        assert_eq!(mebibytes(1_625_293), "1.5 MiB");
        assert_eq!(mebibytes(u64::MAX), "1759218604441.5 MiB");
    }
}
