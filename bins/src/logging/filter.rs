//! Which events make a log line: klog's `-v` and `--vmodule`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use tracing::callsite::rebuild_interest_cache;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

use super::source::Source;
use crate::flags::VModule;

/// The `-v` of a log, which can change while it is written.
#[derive(Clone, Debug)]
pub(super) struct Verbosity(Arc<AtomicI32>);

impl Verbosity {
    pub(super) fn new(level: i32) -> Self {
        Self(Arc::new(AtomicI32::new(level)))
    }

    /// Changes it for all events from now on.
    pub(super) fn set(&self, level: i32) {
        self.0.store(level, Ordering::Relaxed);
        // Whether a call site is of interest was asked once and is remembered there.
        rebuild_interest_cache();
    }

    fn level(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lets an event through if the verbosity of its source file reaches the event's.
#[derive(Clone, Debug)]
pub(super) struct VerbosityFilter {
    verbosity: Verbosity,
    vmodule: VModule,
}

impl VerbosityFilter {
    pub(super) fn new(verbosity: Verbosity, vmodule: VModule) -> Self {
        Self { verbosity, vmodule }
    }

    fn lets_through(&self, metadata: &Metadata<'_>) -> bool {
        let needed = verbosity_of(metadata);
        // As in klog, a pattern can only add lines.
        needed <= self.verbosity.level()
            || self
                .vmodule
                .level_for(Source::of(metadata).module())
                .is_some_and(|level| needed <= level)
    }
}

/// What these log as errors is what they return to us, and we say it with what it means.
const SAID_BY_US: [&str; 2] = ["kube_client::client", "kube_client::client::builder"];

/// The verbosity from which an event is logged. That of other crates comes later, as it is about their insides.
pub(super) fn verbosity_of(metadata: &Metadata<'_>) -> i32 {
    let target = metadata.target();
    let ours = target.starts_with("dialback");
    match (*metadata.level(), ours) {
        (Level::ERROR | Level::WARN, false) if SAID_BY_US.contains(&target) => 5,
        (Level::ERROR | Level::WARN, _) | (Level::INFO, true) => i32::MIN,
        (Level::INFO, false) | (Level::DEBUG, true) => 5,
        (Level::TRACE, true) => 6,
        (Level::DEBUG, false) => 8,
        (Level::TRACE, false) => 9,
    }
}

impl<S: Subscriber> Filter<S> for VerbosityFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.lets_through(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.lets_through(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let verbosity = self.verbosity.level();
        let highest = self.vmodule.highest().unwrap_or(verbosity);
        Some(match highest.max(verbosity) {
            ..5 => LevelFilter::INFO,
            5 => LevelFilter::DEBUG,
            6.. => LevelFilter::TRACE,
        })
    }
}
