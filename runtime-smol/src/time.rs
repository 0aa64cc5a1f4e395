//! Timers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_io::Timer;
use dialback_runtime::Sleep;

/// A timer of `async-io`.
#[derive(Debug)]
pub struct SmolSleep(Timer);

impl SmolSleep {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self(Timer::at(deadline))
    }
}

impl Future for SmolSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

impl Sleep for SmolSleep {
    fn reset(&mut self, deadline: Instant) {
        self.0.set_at(deadline);
    }
}
