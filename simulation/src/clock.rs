//! Timers of the virtual clock.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use dialback_runtime::Sleep;

use crate::simulation::Shared;

/// When a timer fires, counted from the start of the simulation, and a number that no other has.
type TimerKey = (Duration, u64);

/// Timers that have not fired, in the order in which they will.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<TimerKey, Waker>,
    next: u64,
}

impl Timers {
    pub(crate) fn earliest(&self) -> Option<Duration> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes whoever waits for `now` or earlier.
    pub(crate) fn fire(&mut self, now: Duration) {
        while let Some(timer) = self.waiting.first_entry() {
            if timer.key().0 > now {
                break;
            }
            timer.remove().wake();
        }
    }

    fn add(&mut self, at: Duration, waker: Waker) -> TimerKey {
        let key = (at, self.next);
        self.next += 1;
        self.waiting.insert(key, waker);
        key
    }
}

/// A timer of the virtual clock.
pub struct SimulatedSleep {
    shared: Arc<Shared>,
    deadline: Duration,
    waiting: Option<TimerKey>,
}

impl SimulatedSleep {
    pub(crate) fn new(shared: &Arc<Shared>, deadline: Instant) -> Self {
        Self {
            shared: Arc::clone(shared),
            deadline: shared.since_start(deadline),
            waiting: None,
        }
    }

    fn forget(&mut self) {
        if let Some(key) = self.waiting.take() {
            self.shared.world().timers.waiting.remove(&key);
        }
    }
}

impl Future for SimulatedSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.forget();
        let shared = Arc::clone(&self.shared);
        let mut world = shared.world();
        if world.now >= self.deadline {
            return Poll::Ready(());
        }
        self.waiting = Some(world.timers.add(self.deadline, cx.waker().clone()));
        Poll::Pending
    }
}

impl Sleep for SimulatedSleep {
    fn reset(&mut self, deadline: Instant) {
        self.forget();
        self.deadline = self.shared.since_start(deadline);
    }
}

impl Drop for SimulatedSleep {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for SimulatedSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedSleep")
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
