use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use time::{OffsetDateTime, UtcOffset};
use tracing::{Level, debug, error, info, info_span, trace, warn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use super::filter::{Verbosity, VerbosityFilter};
use super::json::{JsonFields, JsonLines};
use super::repeats::{BoundedLines, LINES, Repeats, WINDOW};
use super::text::{TextFields, TextLines, write_header};
use super::{Clock, PLAIN};
use crate::flags::{KlogBool, LoggingOptions, TraceLocation, VModule};

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .expect("no test panics while logging")
            .extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Kept {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("no test panics while logging");
        String::from_utf8(bytes.clone()).expect("log lines are text")
    }
}

const UTC: Clock = Clock {
    offset: UtcOffset::UTC,
};

/// What `log` writes as text with the prefix left out, at a verbosity.
fn text_at(verbosity: i32, vmodule: &str, log: impl FnOnce()) -> String {
    let options = LoggingOptions {
        skip_headers: KlogBool { on: true },
        ..LoggingOptions::default()
    };
    text_with(&options, verbosity, vmodule, log)
}

fn text_with(
    options: &LoggingOptions,
    verbosity: i32,
    vmodule: &str,
    log: impl FnOnce(),
) -> String {
    let kept = Kept::default();
    let vmodule = VModule::parse(vmodule).expect("well-formed");
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(kept.clone())
        .fmt_fields(TextFields)
        .event_format(TextLines::new(options, UTC, 17))
        .with_filter(VerbosityFilter::new(Verbosity::new(verbosity), vmodule));
    tracing::subscriber::with_default(Registry::default().with(lines), log);
    kept.text()
}

#[test]
fn a_prefix_is_klogs() {
    let mut line = String::new();
    let now = OffsetDateTime::from_unix_timestamp_nanos(1_767_323_045_000_006_000);
    let now = now.expect("a time in 2026");
    write_header(&mut line, Level::WARN, now, 17, "serve.rs", 12).expect("a string takes all");
    assert_eq!(line, "W0102 03:04:05.000006      17 serve.rs:12] ");
}

#[test]
fn a_line_begins_with_severity_and_place() {
    let lines = text_with(&LoggingOptions::default(), 0, "", || error!("gone"));
    assert!(lines.starts_with('E'), "{lines:?}");
    assert!(lines.contains("      17 tests.rs:"), "{lines:?}");
    assert!(lines.ends_with("] \"gone\"\n"), "{lines:?}");
}

#[test]
fn fields_follow_the_message_as_key_and_value() {
    let lines = text_at(0, "", || {
        info!(
            agent = "a b",
            address = %"[::1]:8091",
            count = 3,
            spare = -1,
            ready = true,
            "connected"
        );
    });
    assert_eq!(
        lines,
        "\"connected\" agent=\"a b\" address=\"[::1]:8091\" count=3 spare=-1 ready=true\n"
    );
}

#[test]
fn fields_of_spans_follow_those_of_the_event() {
    let lines = text_at(0, "", || {
        let _agent = info_span!("agent", agent = "a", server = tracing::field::Empty).entered();
        tracing::Span::current().record("server", "s");
        let _dial = info_span!("dial", dial = 7).entered();
        info!(count = 1, "open");
    });
    assert_eq!(lines, "\"open\" count=1 dial=7 agent=\"a\" server=\"s\"\n");
}

#[test]
fn a_value_can_not_forge_a_line() {
    let hostile = "x\nE0101 00:00:00.000000 1 a.rs:1] \"forged\"\r\u{1b}[2J\u{2028}";
    let lines = text_at(0, "", || {
        info!(agent = hostile, "connected {hostile}");
        info!(target: PLAIN, "plain {hostile}");
    });
    let lines: Vec<&str> = lines.split_terminator('\n').collect();
    let quoted = r#"x\nE0101 00:00:00.000000 1 a.rs:1] \"forged\"\r\x1b[2J\u2028"#;
    let plain = r#"x\nE0101 00:00:00.000000 1 a.rs:1] "forged"\r\x1b[2J\u2028"#;
    assert_eq!(
        lines,
        [
            format!("\"connected {quoted}\" agent=\"{quoted}\""),
            format!("plain {plain}")
        ]
    );
}

/// One event of each level, and one of another crate.
fn one_of_each() {
    error!("error");
    warn!("warn");
    info!("info");
    debug!("debug");
    trace!("trace");
    info!(target: "h2::proto", "library info");
    debug!(target: "h2::proto", "library debug");
    trace!(target: "h2::proto", "library trace");
}

#[test]
fn an_error_that_is_returned_to_us_too_is_not_said_twice() {
    let events = || {
        error!(target: "kube_client::client::builder", "failed");
        error!(target: "kube_client::client::tls", "only said");
    };
    assert_eq!(text_at(4, "", events), "\"only said\"\n");
    assert_eq!(text_at(5, "", events), "\"failed\"\n\"only said\"\n");
}

#[test]
fn the_default_verbosity_has_no_debug_lines() {
    assert_eq!(
        text_at(4, "", one_of_each),
        "\"error\"\n\"warn\"\n\"info\"\n"
    );
    assert_eq!(
        text_at(-1, "", one_of_each),
        "\"error\"\n\"warn\"\n\"info\"\n"
    );
}

#[test]
fn more_verbosity_brings_debug_lines_then_traces_then_those_of_libraries() {
    let last = |verbosity| {
        let lines = text_at(verbosity, "", one_of_each);
        let lines: Vec<String> = lines.lines().map(str::to_owned).collect();
        lines[3..].join(" ")
    };
    assert_eq!(last(5), "\"debug\" \"library info\"");
    assert_eq!(last(6), "\"debug\" \"trace\" \"library info\"");
    assert_eq!(last(7), last(6));
    assert_eq!(
        last(8),
        "\"debug\" \"trace\" \"library info\" \"library debug\""
    );
    assert_eq!(
        last(9),
        "\"debug\" \"trace\" \"library info\" \"library debug\" \"library trace\""
    );
}

#[test]
fn a_pattern_raises_the_verbosity_of_its_files_only() {
    let debug_line = || debug!("debug");
    assert_eq!(text_at(4, "te*=5", debug_line), "\"debug\"\n");
    assert_eq!(text_at(4, "other=9", debug_line), "");
    assert_eq!(text_at(5, "te*=1", debug_line), "\"debug\"\n");
}

#[test]
fn a_stack_trace_follows_the_line_it_is_asked_for() {
    let line = line!() + 2;
    let log = || {
        info!("here");
        info!("there");
    };
    let options = LoggingOptions {
        skip_headers: KlogBool { on: true },
        backtrace_at: TraceLocation::parse(&format!("tests.rs:{line}")).expect("well-formed"),
        ..LoggingOptions::default()
    };
    let lines = text_with(&options, 0, "", log);
    let (first, rest) = lines.split_once('\n').expect("several lines");
    assert_eq!(first, "\"here\"");
    assert!(rest.contains("a_stack_trace_follows"), "{rest}");
    assert!(rest.ends_with("\"there\"\n"), "{rest}");
}

#[test]
fn json_lines_hold_one_object_each() {
    let kept = Kept::default();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(kept.clone())
        .fmt_fields(JsonFields)
        .event_format(JsonLines::new(&LoggingOptions::default()))
        .with_filter(VerbosityFilter::new(Verbosity::new(5), VModule::default()));
    tracing::subscriber::with_default(Registry::default().with(lines), || {
        let _agent = info_span!("agent", agent = "a\"\n").entered();
        warn!(count = 3, ready = true, "half\nway");
        debug!("more");
    });
    let objects: Vec<serde_json::Value> = kept
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is an object"))
        .collect();
    assert_eq!(objects.len(), 2);
    let first = &objects[0];
    assert_eq!(first["severity"], "WARNING");
    assert_eq!(first["v"], 0);
    assert_eq!(first["msg"], "half\nway");
    assert_eq!(first["count"], 3);
    assert_eq!(first["ready"], true);
    assert_eq!(first["agent"], "a\"\n");
    assert!(
        first["ts"].as_f64().is_some_and(|ts| ts > 1.6e12),
        "{first}"
    );
    let caller = first["caller"].as_str().expect("a place");
    assert!(caller.starts_with("tests.rs:"), "{caller}");
    assert_eq!(objects[1]["severity"], "INFO");
    assert_eq!(objects[1]["v"], 5);
}

/// What `log` writes with repeats bounded, and what counts them.
fn bounded(log: impl FnOnce()) -> (String, Arc<Repeats>) {
    let kept = Kept::default();
    let options = LoggingOptions {
        skip_headers: KlogBool { on: true },
        ..LoggingOptions::default()
    };
    let format = BoundedLines::new(TextLines::new(&options, UTC, 17));
    let repeats = Arc::clone(&format.repeats);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(kept.clone())
        .fmt_fields(TextFields)
        .event_format(format)
        .with_filter(VerbosityFilter::new(Verbosity::new(5), VModule::default()));
    tracing::subscriber::with_default(Registry::default().with(lines), log);
    (kept.text(), repeats)
}

#[test]
fn a_place_that_repeats_itself_is_cut_short_and_its_rest_counted() {
    let (text, repeats) = bounded(|| {
        for peer in 0..100 {
            warn!(peer, "handshake failed");
        }
        warn!("something else");
    });
    assert_eq!(text.matches("handshake failed").count(), LINES as usize);
    assert!(text.ends_with("\"something else\"\n"), "{text}");

    let due = repeats.due(Instant::now() + WINDOW);
    let (told, _) = bounded(|| due.iter().for_each(|held| held.tell()));
    assert!(
        told.starts_with("\"70 more like this\" place=\"tests.rs:"),
        "{told}"
    );
    assert!(
        told.ends_with(" message_of_last=\"handshake failed\"\n"),
        "{told}"
    );
    assert!(repeats.due(Instant::now() + WINDOW).is_empty());
}

#[test]
fn debug_lines_and_whole_lines_are_never_held_back() {
    let lines = LINES as usize + 1;
    let (text, _) = bounded(|| {
        for _ in 0..lines {
            debug!("asked for");
            error!(target: PLAIN, "whole");
        }
    });
    assert_eq!(text.lines().count(), 2 * lines);
}

#[test]
fn the_verbosity_of_a_log_changes_while_it_is_written() {
    let kept = Kept::default();
    let verbosity = Verbosity::new(4);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(kept.clone())
        .fmt_fields(TextFields)
        .event_format(TextLines::new(&LoggingOptions::default(), UTC, 17))
        .with_filter(VerbosityFilter::new(verbosity.clone(), VModule::default()));
    tracing::subscriber::with_default(Registry::default().with(lines), || {
        for (level, message) in [(4, "before"), (5, "between"), (4, "after")] {
            verbosity.set(level);
            debug!("{message}");
        }
    });
    let text = kept.text();
    assert!(text.contains("between"));
    assert!(
        !text.contains("before") && !text.contains("after"),
        "{text}"
    );
}
