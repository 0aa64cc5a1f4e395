//! What the code under test logged, one log a test.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::wait::eventually;

/// How many lines of a log are shown when a test fails.
const SHOWN: usize = 200;

/// The events of one test, from DEBUG up. Clones share it.
#[derive(Clone, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<Line>>>,
}

struct Line {
    level: Level,
    /// The message, then each field as `name=value`.
    text: String,
}

impl Log {
    /// What is to be made the default of every thread that works for the test.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        Dispatch::new(tracing_subscriber::registry().with(Collector(self.clone())))
    }

    /// How many lines of `level` or above hold all of `pieces`.
    #[must_use]
    pub fn count(&self, level: Level, pieces: &[&str]) -> usize {
        self.lines()
            .iter()
            .filter(|line| {
                line.level <= level && pieces.iter().all(|piece| line.text.contains(piece))
            })
            .count()
    }

    /// Waits for a line that an operator sees without asking for more, INFO or above, that holds all of `pieces`.
    ///
    /// # Panics
    /// When none is written.
    pub async fn tells(&self, pieces: &[&str]) {
        eventually(&format!("a log line with {pieces:?}"), || {
            self.count(Level::INFO, pieces) > 0
        })
        .await;
    }

    /// Nothing is to be called an error but our own failures, and a task that panics is one.
    ///
    /// # Panics
    /// When there was one.
    pub fn assert_no_errors(&self) {
        // Taken out of the lock, since a panic is logged too.
        let errors: Vec<String> = self
            .lines()
            .iter()
            .filter(|line| line.level == Level::ERROR)
            .map(|line| line.text.clone())
            .collect();
        assert!(errors.is_empty(), "logged as errors: {errors:#?}");
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        if lines.len() > SHOWN {
            writeln!(f, "{} lines before", lines.len() - SHOWN)?;
        }
        for line in &lines[lines.len().saturating_sub(SHOWN)..] {
            writeln!(f, "{:5} {}", line.level, line.text)?;
        }
        Ok(())
    }
}

struct Collector(Log);

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::DEBUG || !metadata.target().starts_with("dialback") {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        self.0.lines().push(Line {
            level: *metadata.level(),
            text: text.message + &text.fields,
        });
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.fields, " {}={value}", field.name());
    }
}
