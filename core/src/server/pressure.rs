//! How much an agent has to do, as far as its server can tell.

use std::cmp::Ordering;
use std::time::Duration;

/// What a link is under at one moment, for the choice between two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Streams of the link, pending dials included.
    pub streams: usize,
    /// Payload bytes that wait in its queues, both ways; as of a moment ago.
    pub queued_bytes: usize,
    /// How long its dials take until they are answered, smoothed; `None` before the first answer.
    pub answer_time: Option<Duration>,
    /// How long the dial that has waited longest has gone without an answer.
    pub oldest_dial: Duration,
    /// The share of its latest dials that were answered by an error, from 0 to 1.
    pub failures: f64,
}

/// So many queued bytes weigh as much as a stream.
const STREAM_BYTES: usize = 64 * 1024;
/// Answers that take less are as quick as any: the rest is noise.
const QUICK: Duration = Duration::from_millis(1);
/// One link has to be so many times as costly as another to be passed over for that alone.
const CLEARLY: f64 = 2.0;
/// Streams that each link counts as having beside its own: a few more or less make no difference in cost.
const BASE_LOAD: usize = 4;
/// How much the cost grows where every dial fails. Most failures are the endpoint's; the quick ones must not make an agent
/// look like a quick one.
const FAILURE_WEIGHT: f64 = 9.0;

impl Pressure {
    /// Streams, and what weighs as much.
    fn load(&self) -> usize {
        self.streams
            .saturating_add(self.queued_bytes / STREAM_BYTES)
    }

    /// What another dial has to reckon with, in no unit.
    fn cost(&self) -> f64 {
        let time = self.answer_time.unwrap_or_default().max(self.oldest_dial) + QUICK;
        let load = self.load().saturating_add(BASE_LOAD);
        #[expect(clippy::cast_precision_loss, reason = "nobody has so many streams")]
        let load = load as f64;
        time.as_secs_f64() * load * (1.0 + FAILURE_WEIGHT * self.failures)
    }

    /// Which of two links is to serve a dial: `Less` for this one, `Equal` where it makes no difference.
    ///
    /// Clearly different costs decide; of similar ones, which differ by chance, the load. So equals share alike, and a
    /// slow agent gets what is left for it.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let (ours, theirs) = (self.cost(), other.cost());
        if ours > CLEARLY * theirs {
            Ordering::Greater
        } else if theirs > CLEARLY * ours {
            Ordering::Less
        } else {
            self.load().cmp(&other.load())
        }
    }
}

/// A smoothed time and how much it varies, as TCP keeps its round trip (RFC 6298, section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AnswerTime(Option<(Duration, Duration)>);

impl AnswerTime {
    /// An answer took so long.
    pub(crate) fn observe(&mut self, took: Duration) {
        self.0 = Some(match self.0 {
            None => (took, took / 2),
            Some((mean, deviation)) => (
                (mean * 7 + took) / 8,
                (deviation * 3 + mean.abs_diff(took)) / 4,
            ),
        });
    }

    /// How long answers take; `None` before the first.
    pub(crate) fn mean(self) -> Option<Duration> {
        self.0.map(|(mean, _)| mean)
    }

    /// By when nearly all answers are there; `None` before the first.
    pub(crate) fn patience(self) -> Option<Duration> {
        self.0.map(|(mean, deviation)| mean + deviation * 4)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn pressure(streams: usize, milliseconds: u64) -> Pressure {
        Pressure {
            streams,
            answer_time: Some(Duration::from_millis(milliseconds)),
            ..Pressure::default()
        }
    }

    #[test]
    fn of_similar_agents_the_one_with_fewer_streams_serves() {
        assert_eq!(pressure(3, 5).compare(&pressure(4, 4)), Ordering::Less);
        assert_eq!(pressure(3, 5).compare(&pressure(3, 6)), Ordering::Equal);
        let queued = Pressure {
            queued_bytes: 2 * STREAM_BYTES,
            ..pressure(3, 5)
        };
        assert_eq!(queued.compare(&pressure(4, 5)), Ordering::Greater);
    }

    #[test]
    fn a_slow_one_is_left_for_when_the_others_have_much_more_to_do() {
        let slow = pressure(0, 50);
        assert_eq!(slow.compare(&pressure(20, 1)), Ordering::Greater);
        assert_eq!(slow.compare(&pressure(1000, 1)), Ordering::Less);
        let silent = Pressure {
            oldest_dial: Duration::from_millis(50),
            ..pressure(1, 1)
        };
        assert_eq!(silent.compare(&pressure(5, 1)), Ordering::Greater);
        let unknown = Pressure::default();
        assert_eq!(
            unknown.compare(&pressure(0, 1)),
            Ordering::Equal,
            "one that has just come"
        );
    }

    #[test]
    fn quick_failures_do_not_attract() {
        let failing = Pressure {
            failures: 1.0,
            ..pressure(0, 1)
        };
        assert_eq!(failing.compare(&pressure(3, 2)), Ordering::Greater);
    }

    #[test]
    fn times_are_smoothed() {
        let mut time = AnswerTime::default();
        assert_eq!((time.mean(), time.patience()), (None, None));
        let millisecond = Duration::from_millis(1);
        time.observe(8 * millisecond);
        assert_eq!(time.patience(), Some(24 * millisecond));
        for _ in 0..100 {
            time.observe(8 * millisecond);
        }
        assert_eq!(time.mean(), Some(8 * millisecond));
        assert!(time.patience().is_some_and(|time| time < 9 * millisecond));
    }

    quickcheck! {
        fn both_sides_agree(ours: (usize, u32, u32), theirs: (usize, u32, u32)) -> bool {
            let pressure = |(streams, queued, micros): (usize, u32, u32)| Pressure {
                streams: streams % 100_000,
                queued_bytes: queued as usize,
                answer_time: Some(Duration::from_micros(micros.into())),
                ..Pressure::default()
            };
            let (ours, theirs) = (pressure(ours), pressure(theirs));
            ours.compare(&theirs) == theirs.compare(&ours).reverse() && ours.compare(&ours) == Ordering::Equal
        }
    }
}
