//! A token bucket that may be in debt.

use std::time::{Duration, Instant};

use super::limit::Rate;

/// So much a second, and so much at once after a pause.
///
/// What is taken may exceed what is there: then nothing more is to be taken until the debt is paid. So a chunk of any size
/// passes, and over any time no more than its share, the burst and one chunk.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(now: Instant, rate: Rate) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            filled: now,
        }
    }

    /// Another rate from now on.
    pub(super) fn set_rate(&mut self, now: Instant, rate: Rate) {
        self.fill(now);
        self.rate = rate;
        self.tokens = self.tokens.min(rate.burst);
    }

    fn fill(&mut self, now: Instant) {
        let gone = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + gone * self.rate.per_second).min(self.rate.burst);
    }

    /// Takes so much out, be it there or not.
    pub fn take(&mut self, now: Instant, amount: f64) {
        self.fill(now);
        self.tokens -= amount;
    }

    /// How long until so much is there; `None` if it is.
    pub fn wait(&mut self, now: Instant, amount: f64) -> Option<Duration> {
        self.fill(now);
        let missing = amount - self.tokens;
        // A whole that was put together from parts may miss a little.
        if missing <= 1e-9 * amount.max(1.0) {
            return None;
        }
        let wait = Duration::try_from_secs_f64(missing / self.rate.per_second);
        Some(wait.unwrap_or(Duration::MAX).max(Duration::from_nanos(1)))
    }

    /// Whether nothing was taken lately: a new one would be the same.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.rate.burst
    }
}
