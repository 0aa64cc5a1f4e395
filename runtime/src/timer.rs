//! Timers for poll-driven state machines, and a time limit for futures.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use crate::runtime::{Runtime, Sleep};

/// One deadline that moves often: what a machine's `poll_timeout()` says, turned into a wake-up.
///
/// Moving the deadline later is free: the runtime's timer is left where it was and moved on only when it
/// fires early. Without a deadline no timer exists.
#[derive(Debug)]
pub struct Timer<R: Runtime> {
    runtime: R,
    deadline: Option<Instant>,
    sleep: Option<R::Sleep>,
    /// When `sleep` fires; never later than `deadline` while there is one.
    armed: Option<Instant>,
}

impl<R: Runtime> Timer<R> {
    /// A timer without a deadline.
    #[must_use]
    pub const fn new(runtime: R) -> Self {
        Self {
            runtime,
            deadline: None,
            sleep: None,
            armed: None,
        }
    }

    /// Sets, moves or (`None`) removes the deadline. Poll afterwards, so that the waker is registered.
    pub fn set(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// The deadline, unless it was reached.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ready with the current time once the deadline is reached, which removes it; pending before that and
    /// without a deadline.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        loop {
            let sleep = match (&mut self.sleep, self.armed) {
                (Some(sleep), Some(armed)) if armed <= deadline => sleep,
                (Some(sleep), _) => {
                    sleep.reset(deadline);
                    self.armed = Some(deadline);
                    sleep
                }
                (none, _) => {
                    self.armed = Some(deadline);
                    none.insert(self.runtime.sleep_until(deadline))
                }
            };
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.armed = None;
            let now = self.runtime.now();
            if now >= deadline {
                self.deadline = None;
                return Poll::Ready(now);
            }
        }
    }
}

/// A future was not done by its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

/// Runs `future` until `deadline` at the longest; dropped with the future it is given, if not done.
///
/// # Errors
/// [`Elapsed`] if the deadline came first.
pub async fn timeout_at<R: Runtime, F: Future>(
    runtime: &R,
    deadline: Instant,
    future: F,
) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut timer = Timer::new(runtime.clone());
    timer.set(Some(deadline));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => timer.poll(cx).map(|_| Err(Elapsed)),
    })
    .await
}
