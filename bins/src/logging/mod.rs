//! The log: `tracing` events written as klog's lines, or as JSON.
//!
//! | event | severity | comes with |
//! | --- | --- | --- |
//! | `error!` | E | always |
//! | `warn!` | W | always |
//! | `info!` | I | always; other crates' from `-v=5` |
//! | `debug!` | I | `-v=5`; other crates' from `-v=8` |
//! | `trace!` | I | `-v=6`; other crates' from `-v=9` |
//!
//! The daemons' default is `-v=4`, at which the reference prints something every second. Ours says there what an
//! operator wants to know of normal work, and nothing per dial or per packet.
//!
//! `-v` can be changed while the process runs, with [`set_verbosity`].
//!
//! Of lines that repeat themselves, each place in the source code writes 30 in 10 seconds; one line then says
//! `"n more like this"`. Debug lines and traces are all written.
//!
//! Every line reaches its file or standard error as one write before the call returns, so nothing is lost at exit.
//! Values are quoted, and so whatever a peer sends stays within its line.
//!
//! Times are local, with the zone's offset at the start of the process: asking for it later isn't safe with several
//! threads. Where the offset can't be had, they are UTC.

mod filter;
mod json;
mod repeats;
mod sink;
mod source;
mod text;

use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;

use thiserror::Error;
use time::{OffsetDateTime, UtcOffset};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use crate::flags::{self, LogFormat, LoggingOptions, Value as _};

use filter::{Verbosity, VerbosityFilter};
use json::{JsonFields, JsonLines};
use repeats::BoundedLines;
use sink::Sink;
use text::{TextFields, TextLines};

/// The target of events whose message is a whole line of its own and isn't quoted.
pub const PLAIN: &str = "dialback::plain";

/// Starts the log of this process. A log that was started before stays.
///
/// # Errors
/// When a log file is asked for that can't be written.
pub fn start(options: &LoggingOptions, program: &str) -> Result<(), LogError> {
    let clock = Clock::local();
    let sink = Sink::open(options, program, clock)?;
    let verbosity = Verbosity::new(options.verbosity.level);
    let filter = VerbosityFilter::new(verbosity.clone(), options.vmodule.clone());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(sink);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match options.format {
        LogFormat::Text => lines
            .fmt_fields(TextFields)
            .event_format(BoundedLines::new(TextLines::new(
                options,
                clock,
                process::id(),
            )))
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => lines
            .fmt_fields(JsonFields)
            .event_format(BoundedLines::new(JsonLines::new(options)))
            .with_filter(filter)
            .boxed(),
    };
    if tracing::subscriber::set_global_default(Registry::default().with(lines)).is_ok() {
        let _ = VERBOSITY.set(verbosity);
    }
    Ok(())
}

/// That of this process's log, once it is started.
static VERBOSITY: OnceLock<Verbosity> = OnceLock::new();

/// Changes what `-v` said, for all that is logged from now on; `text` is what could stand behind the flag.
///
/// # Errors
/// Why that can't be, in Go's words.
pub fn set_verbosity(text: &str) -> Result<(), String> {
    let mut value = flags::Verbosity::default();
    value.set(text, false).map_err(|error| error.to_string())?;
    if let Some(verbosity) = VERBOSITY.get() {
        verbosity.set(value.level);
        tracing::info!(v = value.level, "verbosity of the log changed");
    }
    Ok(())
}

/// Why the log can't be written.
#[derive(Debug, Error)]
pub enum LogError {
    /// A log file can't be opened.
    #[error("log: unable to create log: open {}: {}", path.display(), reason(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A system error the way Go words it: `permission denied`.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}", first.to_ascii_lowercase(), chars.as_str()),
        None => String::new(),
    }
}

/// Tells the time of day.
#[derive(Clone, Copy, Debug)]
struct Clock {
    offset: UtcOffset,
}

impl Clock {
    fn local() -> Self {
        Self {
            offset: UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC),
        }
    }

    fn now(self) -> OffsetDateTime {
        OffsetDateTime::now_utc().to_offset(self.offset)
    }
}

#[cfg(test)]
mod tests;
