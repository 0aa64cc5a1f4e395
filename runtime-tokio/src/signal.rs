//! The signals that ask a daemon to end.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

pub use dialback_runtime::Signal;
use tokio::signal::unix::{self, SignalKind};

/// SIGTERM and SIGINT as they arrive. While any exists, and after, neither ends the process by itself.
#[derive(Debug)]
pub struct TerminationSignals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
}

impl TerminationSignals {
    /// Starts listening; to be called inside the runtime. Signals of earlier do not count.
    ///
    /// # Errors
    /// The system's error when the handler can't be installed.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal. Dropping the future loses none; two of one kind in quick succession may
    /// count as one.
    pub async fn recv(&mut self) -> Signal {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Ready with the next signal.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        if let Poll::Ready(Some(())) = self.terminate.poll_recv(cx) {
            return Poll::Ready(Signal::Terminate);
        }
        if let Poll::Ready(Some(())) = self.interrupt.poll_recv(cx) {
            return Poll::Ready(Signal::Interrupt);
        }
        Poll::Pending
    }
}
