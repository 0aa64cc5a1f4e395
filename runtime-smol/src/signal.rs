//! The signals that ask a process to end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_signal::Signals;
pub use dialback_runtime::Signal;
use futures_lite::Stream as _;

/// SIGTERM and SIGINT as they arrive. While any exists, and after, neither ends the process by itself.
#[derive(Debug)]
pub struct TerminationSignals(Signals);

impl TerminationSignals {
    /// Starts listening. Signals of earlier do not count.
    ///
    /// # Errors
    /// The system's error when the handler can't be installed.
    pub fn listen() -> io::Result<Self> {
        Signals::new([async_signal::Signal::Term, async_signal::Signal::Int]).map(Self)
    }

    /// Waits for the next signal. Dropping the future loses none; two of one kind in quick succession may
    /// count as one.
    pub async fn recv(&mut self) -> Signal {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Ready with the next signal.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        loop {
            match Pin::new(&mut self.0).poll_next(cx) {
                Poll::Ready(Some(Ok(async_signal::Signal::Term))) => {
                    return Poll::Ready(Signal::Terminate);
                }
                Poll::Ready(Some(Ok(async_signal::Signal::Int))) => {
                    return Poll::Ready(Signal::Interrupt);
                }
                // No other was asked for; a pipe of our own has neither errors nor an end.
                Poll::Ready(Some(Ok(_) | Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
