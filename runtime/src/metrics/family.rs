//! Metric families and when their series appear.

use std::fmt;
use std::sync::OnceLock;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

const NO_LABELS: [&str; 0] = [];

/// A gauge goes up; dropped, this takes it down again.
#[derive(Debug)]
#[must_use = "the gauge goes down as soon as this is dropped"]
pub struct Counted(IntGauge);

impl Counted {
    pub(super) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A metric without labels that appears when it is first touched.
pub(super) struct OnTouch<M> {
    metric: OnceLock<M>,
    appear: Box<dyn Fn() -> M + Send + Sync>,
}

impl<M> OnTouch<M> {
    fn new(appear: impl Fn() -> M + Send + Sync + 'static) -> Self {
        Self {
            metric: OnceLock::new(),
            appear: Box::new(appear),
        }
    }

    /// The metric, if it was touched.
    pub(super) fn get(&self) -> Option<&M> {
        self.metric.get()
    }

    /// The metric, present from now on.
    pub(super) fn touch(&self) -> &M {
        self.metric.get_or_init(&self.appear)
    }
}

impl<M> fmt::Debug for OnTouch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnTouch")
            .field("touched", &self.metric.get().is_some())
            .finish_non_exhaustive()
    }
}

/// What the series of a family are together.
pub(super) fn sum(family: &IntCounterVec) -> u64 {
    let families = family.collect();
    let series = families.iter().flat_map(|family| family.get_metric());
    let sum: f64 = series.map(|series| series.get_counter().get_value()).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters are whole numbers, and only grow"
    )]
    let sum = sum as u64;
    sum
}

/// Makes the families of one program, whose names begin alike.
#[derive(Debug)]
pub(super) struct Families<'a> {
    pub(super) registry: &'a Registry,
    pub(super) prefix: &'static str,
}

impl<'a> Families<'a> {
    /// Those that Konnectivity has nothing like.
    pub(super) const fn ours(registry: &'a Registry) -> Self {
        Self {
            registry,
            prefix: "dialback_",
        }
    }
}

impl Families<'_> {
    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.registered(IntCounterVec::new(self.opts(name, help), labels))
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.registered(IntCounter::with_opts(self.opts(name, help)))
    }

    /// A counter for each value of a label, all there from the start, so that an alert can be written for any of them.
    pub(super) fn counters_of<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: [&str; N],
    ) -> [IntCounter; N] {
        let family = self.counters(name, help, &[label]);
        values.map(|value| family.with_label_values(&[value]))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.registered(IntGaugeVec::new(self.opts(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.registered(IntGauge::with_opts(self.opts(name, help)))
    }

    pub(super) fn counter_on_touch(&self, name: &str, help: &str) -> OnTouch<IntCounter> {
        let family = self.counters(name, help, &[]);
        OnTouch::new(move || family.with_label_values(&NO_LABELS))
    }

    pub(super) fn gauge_on_touch(&self, name: &str, help: &str) -> OnTouch<IntGauge> {
        let family = self.gauges(name, help, &[]);
        OnTouch::new(move || family.with_label_values(&NO_LABELS))
    }

    /// `buckets` are upper bounds in seconds.
    pub(super) fn histogram_on_touch(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> OnTouch<Histogram> {
        let opts = HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec());
        let family = self.registered(HistogramVec::new(opts, &NO_LABELS));
        OnTouch::new(move || family.with_label_values(&NO_LABELS))
    }

    /// `buckets` are upper bounds in seconds.
    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let opts = HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec());
        self.registered(HistogramVec::new(opts, labels))
    }

    /// What is running, as labels of a constant.
    pub(super) fn build_info(&self) {
        let opts = Opts::new(
            "dialback_build_info",
            "Version of Dialback that is running; the value is always 1.",
        );
        self.registered(IntGaugeVec::new(opts, &["version"]))
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(format!("{}{name}", self.prefix), help)
    }

    fn registered<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let family = made.expect("names and labels in this crate are well formed");
        self.registry
            .register(Box::new(family.clone()))
            .expect("every family in this crate has a name of its own");
        family
    }
}
