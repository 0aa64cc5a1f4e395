//! What one limit counts for each of its keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::limit::Limit;
use super::shaper::Direction;

/// The most keys of one limit. What has gone idle makes room; beyond that further keys share one state, so that nobody
/// gets around a limit by being many.
const MOST_KEYS: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Table {
    states: BTreeMap<String, Arc<State>>,
    /// Shared by the keys that there was no room for.
    rest: Option<Arc<State>>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// The state for a key, which is made if it is not there.
    pub(super) fn state(&mut self, now: Instant, limit: &Limit, key: &str) -> Arc<State> {
        if let Some(state) = self.states.get(key) {
            return Arc::clone(state);
        }
        if self.states.len() >= MOST_KEYS {
            self.states.retain(|_, state| !state.is_idle(now));
        }
        let fresh = || Arc::new(State::new(now, limit));
        if self.states.len() >= MOST_KEYS {
            return Arc::clone(self.rest.get_or_insert_with(fresh));
        }
        let state = fresh();
        self.states.insert(key.to_owned(), Arc::clone(&state));
        state
    }

    pub(super) fn set_limit(&mut self, now: Instant, limit: &Limit) {
        for state in self.states.values().chain(&self.rest) {
            state.set_limit(now, limit);
        }
    }
}

/// What is counted for one key. Shared with the streams that it is counted for, whose bytes it shapes.
#[derive(Debug)]
pub(super) struct State(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    dials: Option<Bucket>,
    streams: usize,
    most_streams: Option<usize>,
    bytes: [Option<Bucket>; 2],
}

impl State {
    fn new(now: Instant, limit: &Limit) -> Self {
        let bucket = |rate: Option<_>| rate.map(|rate| Bucket::new(now, rate));
        Self(Mutex::new(Counts {
            dials: bucket(limit.dials),
            streams: 0,
            most_streams: limit.streams,
            bytes: [
                bucket(limit.bytes_to_endpoints),
                bucket(limit.bytes_to_frontends),
            ],
        }))
    }

    fn set_limit(&self, now: Instant, limit: &Limit) {
        let mut counts = self.counts();
        let [to_endpoints, to_frontends] = &mut counts.bytes;
        for (bucket, rate) in [
            (to_endpoints, limit.bytes_to_endpoints),
            (to_frontends, limit.bytes_to_frontends),
        ] {
            set_rate(bucket, now, rate);
        }
        set_rate(&mut counts.dials, now, limit.dials);
        counts.most_streams = limit.streams;
    }

    /// A dial starts.
    pub(super) fn enter(&self, now: Instant) {
        let mut counts = self.counts();
        counts.streams += 1;
        if let Some(dials) = &mut counts.dials {
            dials.take(now, 1.0);
        }
    }

    /// A stream is over.
    pub(super) fn leave(&self) {
        let mut counts = self.counts();
        counts.streams = counts.streams.saturating_sub(1);
    }

    pub(super) fn is_at_ceiling(&self) -> bool {
        let counts = self.counts();
        counts
            .most_streams
            .is_some_and(|most| counts.streams >= most)
    }

    /// How long until another dial may start; `None` for at once.
    pub(super) fn dial_wait(&self, now: Instant) -> Option<Duration> {
        self.counts().dials.as_mut()?.wait(now, 1.0)
    }

    /// Whether bytes of this direction are counted.
    pub(super) fn shapes(&self, direction: Direction) -> bool {
        self.counts().bytes[direction as usize].is_some()
    }

    /// So many bytes have passed; how long until more may.
    pub(super) fn pass(
        &self,
        now: Instant,
        direction: Direction,
        bytes: usize,
    ) -> Option<Duration> {
        let mut counts = self.counts();
        let bucket = counts.bytes[direction as usize].as_mut()?;
        #[expect(clippy::cast_precision_loss, reason = "a chunk is small")]
        bucket.take(now, bytes as f64);
        bucket.wait(now, 0.0)
    }

    fn is_idle(&self, now: Instant) -> bool {
        let mut counts = self.counts();
        let Counts {
            dials,
            streams,
            bytes,
            ..
        } = &mut *counts;
        *streams == 0
            && dials
                .iter_mut()
                .chain(bytes.iter_mut().flatten())
                .all(|bucket| bucket.is_full(now))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_rate(bucket: &mut Option<Bucket>, now: Instant, rate: Option<super::Rate>) {
    *bucket = match (*bucket, rate) {
        (Some(mut bucket), Some(rate)) => {
            bucket.set_rate(now, rate);
            Some(bucket)
        }
        (None, Some(rate)) => Some(Bucket::new(now, rate)),
        (_, None) => None,
    };
}
