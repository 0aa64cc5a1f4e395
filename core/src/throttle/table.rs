//! What is counted for each key of each limit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::limit::{Limit, Rate};
use super::ticket::Direction;

/// The most keys of one limit. What has gone idle makes room; beyond that further keys share one count, so that nobody
/// gets around a limit by being many.
const MOST_KEYS: usize = 10_000;

/// Names what is counted for one key; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CountsId(u64);

/// All counts, of all limits.
#[derive(Debug, Default)]
pub(super) struct Counted {
    counts: BTreeMap<CountsId, Counts>,
    next: u64,
}

impl Counted {
    pub(super) fn get(&mut self, id: CountsId) -> Option<&mut Counts> {
        self.counts.get_mut(&id)
    }

    fn insert(&mut self, counts: Counts) -> CountsId {
        let id = CountsId(self.next);
        self.next += 1;
        self.counts.insert(id, counts);
        id
    }
}

/// The keys of one limit.
#[derive(Debug, Default)]
pub(super) struct Table {
    keys: BTreeMap<String, CountsId>,
    /// Shared by the keys that there was no room for.
    rest: Option<CountsId>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The counts for a key, which are made if they are not there.
    pub(super) fn counts(
        &mut self,
        counted: &mut Counted,
        now: Instant,
        limit: &Limit,
        key: &str,
    ) -> CountsId {
        if let Some(id) = self.keys.get(key) {
            return *id;
        }
        if self.keys.len() >= MOST_KEYS {
            self.keys.retain(|_, id| {
                let idle = counted
                    .counts
                    .get_mut(id)
                    .is_none_or(|counts| counts.is_idle(now));
                if idle {
                    counted.counts.remove(id);
                }
                !idle
            });
        }
        if self.keys.len() >= MOST_KEYS {
            let fresh = || counted.insert(Counts::new(now, limit));
            return *self.rest.get_or_insert_with(fresh);
        }
        let id = counted.insert(Counts::new(now, limit));
        self.keys.insert(key.to_owned(), id);
        id
    }

    pub(super) fn set_limit(&self, counted: &mut Counted, now: Instant, limit: &Limit) {
        for id in self.keys.values().chain(&self.rest) {
            if let Some(counts) = counted.get(*id) {
                counts.set_limit(now, limit);
            }
        }
    }

    /// Its limit holds no more.
    pub(super) fn clear(self, counted: &mut Counted) {
        for id in self.keys.values().chain(&self.rest) {
            counted.counts.remove(id);
        }
    }
}

/// What is counted for one key.
#[derive(Debug)]
pub(super) struct Counts {
    dials: Option<Bucket>,
    streams: usize,
    most_streams: Option<usize>,
    bytes: [Option<Bucket>; 2],
}

impl Counts {
    fn new(now: Instant, limit: &Limit) -> Self {
        let bucket = |rate: Option<_>| rate.map(|rate| Bucket::new(now, rate));
        Self {
            dials: bucket(limit.dials),
            streams: 0,
            most_streams: limit.streams,
            bytes: [
                bucket(limit.bytes_to_endpoints),
                bucket(limit.bytes_to_frontends),
            ],
        }
    }

    fn set_limit(&mut self, now: Instant, limit: &Limit) {
        let [to_endpoints, to_frontends] = &mut self.bytes;
        set_rate(to_endpoints, now, limit.bytes_to_endpoints);
        set_rate(to_frontends, now, limit.bytes_to_frontends);
        set_rate(&mut self.dials, now, limit.dials);
        self.most_streams = limit.streams;
    }

    /// A dial starts.
    pub(super) fn enter(&mut self, now: Instant) {
        self.streams += 1;
        if let Some(dials) = &mut self.dials {
            dials.take(now, 1.0);
        }
    }

    /// A stream is over.
    pub(super) fn leave(&mut self) {
        self.streams = self.streams.saturating_sub(1);
    }

    pub(super) fn is_at_ceiling(&self) -> bool {
        self.most_streams.is_some_and(|most| self.streams >= most)
    }

    /// How long until another dial may start; `None` for at once.
    pub(super) fn dial_wait(&mut self, now: Instant) -> Option<Duration> {
        self.dials.as_mut()?.wait(now, 1.0)
    }

    /// Whether bytes are counted.
    pub(super) fn shapes(&self) -> bool {
        self.bytes.iter().any(Option::is_some)
    }

    /// So many bytes have passed; how long until more may.
    pub(super) fn pass(
        &mut self,
        now: Instant,
        direction: Direction,
        bytes: usize,
    ) -> Option<Duration> {
        let bucket = self.bytes[direction as usize].as_mut()?;
        #[expect(clippy::cast_precision_loss, reason = "a chunk is small")]
        bucket.take(now, bytes as f64);
        bucket.wait(now, 0.0)
    }

    fn is_idle(&mut self, now: Instant) -> bool {
        let bytes = self.bytes.iter_mut().flatten();
        let mut buckets = self.dials.iter_mut().chain(bytes);
        self.streams == 0 && buckets.all(|bucket| bucket.is_full(now))
    }
}

fn set_rate(bucket: &mut Option<Bucket>, now: Instant, rate: Option<Rate>) {
    *bucket = match (*bucket, rate) {
        (Some(mut bucket), Some(rate)) => {
            bucket.set_rate(now, rate);
            Some(bucket)
        }
        (None, Some(rate)) => Some(Bucket::new(now, rate)),
        (_, None) => None,
    };
}
