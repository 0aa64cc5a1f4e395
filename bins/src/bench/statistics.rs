//! Medians and percentiles.

use std::time::Duration;

/// The middle of `values`, the mean of the two middle ones for an even number; `None` without values.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Times that were measured one by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    sorted: Vec<Duration>,
}

impl Latencies {
    /// From samples in any order.
    pub(super) fn new(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self { sorted: samples }
    }

    /// The smallest sample that at least `percent` of all do not exceed (nearest rank), in microseconds;
    /// `None` without samples.
    pub(super) fn percentile_us(&self, percent: f64) -> Option<f64> {
        let rank = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        let sample = self.sorted.get(rank.max(1) - 1)?;
        Some(sample.as_secs_f64() * 1e6)
    }
}

/// The latencies of several streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(pub(super) Vec<Latencies>);

impl Streams {
    /// Of all streams together.
    pub(super) fn all(&self) -> Latencies {
        let samples = self.0.iter().flat_map(|stream| &stream.sorted);
        Latencies::new(samples.copied().collect())
    }

    /// The stream's whose `percent`ile is the highest, in microseconds; `None` without samples.
    pub(super) fn worst_us(&self, percent: f64) -> Option<f64> {
        let each = self.0.iter().filter_map(|one| one.percentile_us(percent));
        each.reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(micros: impl IntoIterator<Item = u64>) -> Latencies {
        Latencies::new(micros.into_iter().map(Duration::from_micros).collect())
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[4.0]), Some(4.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[8.0, 2.0, 4.0, 100.0]), Some(6.0));
    }

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let hundred = latencies((1..=100).rev());
        assert_eq!(hundred.percentile_us(50.0), Some(50.0));
        assert_eq!(hundred.percentile_us(99.0), Some(99.0));
        assert_eq!(hundred.percentile_us(100.0), Some(100.0));
        assert_eq!(latencies([7]).percentile_us(99.0), Some(7.0));
        assert_eq!(latencies([7, 9]).percentile_us(0.0), Some(7.0));
        assert_eq!(latencies([]).percentile_us(50.0), None);
    }

    #[test]
    fn the_worst_stream_is_told_beside_all_of_them() {
        let streams = Streams(vec![latencies([1; 300]), latencies([9, 9]), latencies([])]);
        assert_eq!(streams.all().percentile_us(99.0), Some(1.0));
        assert_eq!(streams.worst_us(99.0), Some(9.0));
        assert_eq!(Streams::default().worst_us(99.0), None);
    }

    #[test]
    fn one_slow_sample_of_a_few_is_the_99th_percentile() {
        assert_eq!(latencies([1, 1, 1, 1000]).percentile_us(99.0), Some(1000.0));
    }
}
