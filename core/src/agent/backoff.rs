//! Waits that grow from failure to failure.

use std::time::Duration;

use crate::entropy::Entropy;

/// The waits between attempts to reach a server: what they are drawn from grows by half with every failure, up to a cap.
///
/// With the defaults, 1 s and 10 s, failures are followed by at least 1 s and by less than 1.1, 1.5, 2.25, 3.375, 5.06,
/// 7.59, 10, 10 … seconds. The reference draws from the upper tenth of that (Konnectivity agent,
/// `pkg/agent/clientset.go`: factor 1.5, jitter 0.1), so that agents which lost the same server come back in waves.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    interval: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) const fn new(interval: Duration, cap: Duration) -> Self {
        Self {
            interval,
            cap,
            next: interval,
        }
    }

    /// The wait after a failure; the one after the next failure is longer.
    pub(super) fn step(&mut self, entropy: &mut impl Entropy) -> Duration {
        let range = self.next.saturating_sub(self.interval);
        self.next = (self.next.saturating_mul(3) / 2).min(self.cap);
        let range = range.max(self.interval / 10);
        self.interval.saturating_add(drawn(range, entropy))
    }

    /// Starts over: the next failure is followed by the shortest wait.
    pub(super) const fn reset(&mut self) {
        self.next = self.interval;
    }
}

/// A duration drawn from `[wait, 1.1 wait)`.
pub(super) fn jittered(wait: Duration, entropy: &mut impl Entropy) -> Duration {
    wait.saturating_add(spread(wait, entropy))
}

/// A duration drawn from `[0, wait / 10)`; zero when that range holds no whole nanosecond.
pub(super) fn spread(wait: Duration, entropy: &mut impl Entropy) -> Duration {
    drawn(wait / 10, entropy)
}

/// A duration drawn from `[0, range)`.
fn drawn(range: Duration, entropy: &mut impl Entropy) -> Duration {
    let range = u64::try_from(range.as_nanos()).unwrap_or(u64::MAX);
    let drawn = (u128::from(range) * u128::from(entropy.next_u64())) >> 64;
    Duration::from_nanos(u64::try_from(drawn).unwrap_or(range))
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    struct Fixed(u64);

    impl Entropy for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    /// The longest waits that can be drawn, in milliseconds.
    fn longest(backoff: &mut Backoff, steps: usize) -> Vec<u128> {
        (0..steps)
            .map(|_| {
                backoff
                    .step(&mut Fixed(u64::MAX))
                    .as_nanos()
                    .div_ceil(1_000_000)
            })
            .collect()
    }

    #[test]
    fn what_waits_are_drawn_from_grows_by_half_up_to_the_cap() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        assert_eq!(
            longest(&mut backoff, 9),
            [1100, 1500, 2250, 3375, 5063, 7594, 10_000, 10_000, 10_000]
        );
        assert_eq!(backoff.step(&mut Fixed(0)), Duration::from_secs(1));
        assert_eq!(
            backoff.step(&mut Fixed(1 << 63)),
            Duration::from_millis(5500)
        );
        backoff.reset();
        assert_eq!(longest(&mut backoff, 2), [1100, 1500]);
    }

    #[test]
    fn an_interval_at_the_cap_stays_there() {
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(5));
        assert_eq!(longest(&mut backoff, 3), [5500; 3]);
        assert_eq!(backoff.step(&mut Fixed(0)), Duration::from_secs(5));
    }

    #[test]
    fn jitter_spans_a_tenth() {
        let second = Duration::from_secs(1);
        assert_eq!(jittered(second, &mut Fixed(0)), second);
        assert_eq!(
            jittered(second, &mut Fixed(1 << 63)),
            Duration::from_millis(1050)
        );
        assert_eq!(
            jittered(second, &mut Fixed(u64::MAX)),
            Duration::from_nanos(1_099_999_999)
        );
    }

    quickcheck! {
        fn jitter_stays_below_a_tenth(nanos: u64, random: u64) -> bool {
            let wait = Duration::from_nanos(nanos);
            let spread = spread(wait, &mut Fixed(random));
            spread.is_zero() || spread < wait / 10
        }

        fn waits_are_no_shorter_than_the_interval_and_little_longer_than_the_cap(interval: u64, more: u32, random: Vec<u64>) -> bool {
            let interval = Duration::from_nanos(interval);
            let cap = interval.saturating_add(Duration::from_millis(more.into()));
            let mut backoff = Backoff::new(interval, cap);
            let most = cap.max(interval.saturating_add(interval / 10));
            random.into_iter().all(|random| {
                (interval..=most).contains(&backoff.step(&mut Fixed(random)))
            })
        }
    }
}
