//! Deadlines of streams.

use std::time::{Duration, Instant};

use super::{Mux, StreamTimer};
use crate::ids::StreamId;

impl<T> Mux<T> {
    /// Arms, moves or (with `None`) disarms the role's deadline of a stream.
    pub(crate) fn set_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        if let Some(stream) = self.stream_mut(id) {
            stream.patience = None;
            self.move_deadline(id, at);
        }
    }

    /// Arms the role's deadline of a stream so that it passes once no byte has moved for `patience`.
    pub(crate) fn await_progress(&mut self, now: Instant, id: StreamId, patience: Duration) {
        if let Some(stream) = self.stream_mut(id) {
            stream.patience = Some(patience);
            self.move_deadline(id, Some(now + patience));
        }
    }

    /// The role waits for something on this stream.
    pub(crate) fn has_deadline(&self, id: StreamId) -> bool {
        self.stream(id)
            .is_some_and(|stream| stream.deadline.is_some())
    }

    /// A byte has moved.
    pub(super) fn put_off(&mut self, now: Instant, id: StreamId) {
        if let Some(patience) = self.stream(id).and_then(|stream| stream.patience) {
            self.move_deadline(id, Some(now + patience));
        }
    }

    fn move_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut stream.deadline, at);
        self.rearm(id, StreamTimer::Role, old, at);
    }

    pub(super) fn set_slow_deadline(&mut self, id: StreamId, at: Option<Instant>) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let old = std::mem::replace(&mut stream.slow_deadline, at);
        self.rearm(id, StreamTimer::SlowReader, old, at);
    }

    fn rearm(
        &mut self,
        id: StreamId,
        timer: StreamTimer,
        old: Option<Instant>,
        new: Option<Instant>,
    ) {
        if let Some(old) = old {
            self.timers.remove(&(old, id, timer));
        }
        if let Some(new) = new {
            self.timers.insert((new, id, timer));
        }
    }

    /// When [`Mux::poll_expired`] next has something, if ever.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _, _)| *at)
    }

    /// The next deadline that has passed; it is disarmed.
    pub(crate) fn poll_expired(&mut self, now: Instant) -> Option<(StreamId, StreamTimer)> {
        let (at, id, timer) = *self.timers.first()?;
        if at > now {
            return None;
        }
        match timer {
            StreamTimer::Role => self.set_deadline(id, None),
            StreamTimer::SlowReader => self.set_slow_deadline(id, None),
        }
        Some((id, timer))
    }
}
