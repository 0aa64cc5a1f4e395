//! How many requests a second an API server is sent.

use std::sync::{Mutex, PoisonError};

use dialback_core::throttle::{Bucket, Rate};
use tokio::time::Instant;

/// A token bucket: so many requests a second, and so many at once after a pause.
///
/// The same as client-go's `flowcontrol.NewTokenBucketRateLimiter`: who finds the bucket empty waits for his turn.
#[derive(Debug)]
pub(super) struct Limiter {
    /// `None` for no limit.
    bucket: Option<Mutex<Bucket>>,
}

impl Limiter {
    /// `per_second` at or below zero for no limit.
    pub(super) fn new(per_second: f64, burst: f64) -> Self {
        let bucket = (per_second > 0.0).then(|| {
            let rate = Rate { per_second, burst };
            Mutex::new(Bucket::new(Instant::now().into_std(), rate))
        });
        Self { bucket }
    }

    /// Waits until another request may be sent.
    pub(super) async fn turn(&self) {
        let Some(bucket) = &self.bucket else { return };
        let wait = {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now().into_std();
            bucket.take(now, 1.0);
            bucket.wait(now, 0.0)
        };
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How long so many requests in a row take.
    async fn time_for(limiter: &Limiter, requests: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..requests {
            limiter.turn().await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let limiter = Limiter::new(5.0, 10.0);
        assert_eq!(time_for(&limiter, 10).await, Duration::ZERO);
        let ten_more = time_for(&limiter, 10).await.as_secs_f64();
        assert!((1.99..2.05).contains(&ten_more), "{ten_more}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(
            time_for(&limiter, 10).await,
            Duration::ZERO,
            "no more than the burst is saved up"
        );
        assert!(time_for(&limiter, 1).await > Duration::from_millis(150));
    }

    #[tokio::test(start_paused = true)]
    async fn below_zero_is_no_limit() {
        assert_eq!(
            time_for(&Limiter::new(-1.0, 0.0), 1000).await,
            Duration::ZERO
        );
    }
}
