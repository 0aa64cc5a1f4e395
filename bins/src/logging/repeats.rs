//! Bounds what one line of the source code may write to the log.
//!
//! A network that fails makes the same few lines come thousands of times, which hides every other one and fills
//! disks. So each place may write [`LINES`] lines in [`WINDOW`]; what comes beyond is counted, and once the window is
//! over one line tells how many there were. Debug lines and traces, which somebody asked for, are never held back. What
//! is counted when the process ends is not told any more.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::PLAIN;
use super::source::Source;

/// How many lines one place may write in a window.
pub(super) const LINES: u32 = 30;
/// How long a window is.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// The target of the lines that tell of others.
const SUMMARY: &str = "dialback::repeats";

/// Lets events through until their place has written its share.
#[derive(Debug)]
pub(super) struct Repeats {
    places: Mutex<HashMap<Identifier, Place>>,
    /// Told when lines begin to be held back somewhere.
    held_back: Condvar,
    teller: Once,
}

/// What one place in the source code wrote.
#[derive(Debug)]
struct Place {
    window: Instant,
    written: u32,
    /// What is to be told of, and when.
    held: Option<(Instant, Held)>,
}

/// The lines of one place that were held back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) count: u64,
    level: Level,
    place: String,
    /// What the last of them said.
    message: String,
}

impl Default for Repeats {
    fn default() -> Self {
        Self {
            places: Mutex::default(),
            held_back: Condvar::new(),
            teller: Once::new(),
        }
    }
}

impl Repeats {
    /// Whether an event may be written; if not, it is counted.
    fn admit(&self, now: Instant, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        let limited = match *metadata.level() {
            Level::ERROR | Level::WARN | Level::INFO => true,
            Level::DEBUG | Level::TRACE => false,
        };
        if !limited || [PLAIN, SUMMARY].contains(&metadata.target()) {
            return true;
        }
        let mut places = self.lock();
        let place = places.entry(metadata.callsite()).or_insert(Place {
            window: now,
            written: 0,
            held: None,
        });
        if now.saturating_duration_since(place.window) >= WINDOW {
            place.window = now;
            place.written = 0;
        }
        if place.written < LINES {
            place.written += 1;
            return true;
        }
        let mut message = Message::default();
        event.record(&mut message);
        match &mut place.held {
            Some((_, held)) => {
                held.count += 1;
                held.message = message.text;
            }
            nothing @ None => {
                let source = Source::of(metadata);
                let held = Held {
                    count: 1,
                    level: *metadata.level(),
                    place: format!("{}:{}", source.shown(false), source.line),
                    message: message.text,
                };
                *nothing = Some((place.window + WINDOW, held));
                self.held_back.notify_one();
            }
        }
        false
    }

    /// What is to be told by now.
    pub(super) fn due(&self, now: Instant) -> Vec<Held> {
        self.lock()
            .values_mut()
            .filter_map(|place| place.held.take_if(|(at, _)| *at <= now))
            .map(|(_, held)| held)
            .collect()
    }

    /// Starts the thread that tells what was held back, unless it runs.
    fn start_teller(self: &Arc<Self>) {
        self.teller.call_once(|| {
            let repeats = Arc::clone(self);
            // Without the thread the lines are still bounded, and nobody hears how many there were.
            let _ = thread::Builder::new()
                .name("log-repeats".to_owned())
                .spawn(move || repeats.tell_forever());
        });
    }

    fn tell_forever(&self) {
        loop {
            self.wait();
            for held in self.due(Instant::now()) {
                held.tell();
            }
        }
    }

    /// Waits until something is to be told.
    fn wait(&self) {
        let mut places = self.lock();
        loop {
            let next = places.values().filter_map(|place| place.held.as_ref());
            let left = next
                .map(|(at, _)| at.saturating_duration_since(Instant::now()))
                .min();
            places = match left {
                Some(Duration::ZERO) => return,
                Some(left) => {
                    let waited = self.held_back.wait_timeout(places, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.held_back.wait(places);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// A thread that panicked here left at worst a count that is too low.
    fn lock(&self) -> MutexGuard<'_, HashMap<Identifier, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Writes the line that stands for all that were held back, with their severity.
    pub(super) fn tell(&self) {
        let Self {
            count,
            level,
            place,
            message,
        } = self;
        match *level {
            Level::ERROR => {
                tracing::error!(target: SUMMARY, place, message_of_last = message, "{count} more like this");
            }
            Level::WARN => {
                tracing::warn!(target: SUMMARY, place, message_of_last = message, "{count} more like this");
            }
            Level::INFO | Level::DEBUG | Level::TRACE => {
                tracing::info!(target: SUMMARY, place, message_of_last = message, "{count} more like this");
            }
        }
    }
}

/// Writes events as `lines` does, and nothing for those that their place has no share left for.
///
/// Not a filter of `tracing-subscriber`: one that refuses an event by more than its metadata leaves a mark that the
/// next event would be refused by as well.
#[derive(Clone, Debug)]
pub(super) struct BoundedLines<F> {
    lines: F,
    pub(super) repeats: Arc<Repeats>,
}

impl<F> BoundedLines<F> {
    pub(super) fn new(lines: F) -> Self {
        Self {
            lines,
            repeats: Arc::default(),
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for BoundedLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.repeats.admit(Instant::now(), event) {
            self.lines.format_event(context, out, event)
        } else {
            self.repeats.start_teller();
            Ok(())
        }
    }
}

/// An event's message.
#[derive(Default)]
struct Message {
    text: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.text = format!("{value:?}");
        }
    }
}
