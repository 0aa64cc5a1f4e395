//! Log lines as klog writes them: `I1123 04:51:23.000042      17 serve.rs:12] "message" key="value" count=1`.

use std::backtrace::Backtrace;
use std::fmt::{self, Write as _};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::source::Source;
use super::{Clock, PLAIN};
use crate::flags::{LoggingOptions, TraceLocation, escape_into, quote};

/// Writes events as klog's lines, the fields of their spans after their own.
#[derive(Debug)]
pub(super) struct TextLines {
    skip_header: bool,
    with_directory: bool,
    backtrace_at: TraceLocation,
    clock: Clock,
    process: u32,
}

impl TextLines {
    pub(super) fn new(options: &LoggingOptions, clock: Clock, process: u32) -> Self {
        Self {
            skip_header: options.skip_headers.on,
            with_directory: options.directory_in_header.on,
            backtrace_at: options.backtrace_at.clone(),
            clock,
            process,
        }
    }
}

impl<S, N> FormatEvent<S, N> for TextLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let source = Source::of(metadata);
        if !self.skip_header {
            let shown = source.shown(self.with_directory);
            let now = self.clock.now();
            write_header(
                &mut out,
                *metadata.level(),
                now,
                self.process,
                shown,
                source.line,
            )?;
        }
        let mut fields = FieldText::default();
        event.record(&mut fields);
        if metadata.target() == PLAIN {
            let mut line = String::new();
            escape_into(&mut line, &fields.message, false);
            out.write_str(&line)?;
        } else {
            out.write_str(&quote(&fields.message))?;
        }
        out.write_str(&fields.pairs)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                out.write_str(fields)?;
            }
        }
        out.write_char('\n')?;
        if self.backtrace_at.is_at(source.file(), source.line) {
            writeln!(out, "{}", Backtrace::force_capture())?;
        }
        Ok(())
    }
}

/// Writes klog's prefix. Severity, month, day, time, process and place.
pub(super) fn write_header(
    out: &mut impl fmt::Write,
    level: Level,
    now: OffsetDateTime,
    process: u32,
    file: &str,
    line: u32,
) -> fmt::Result {
    let severity = match level {
        Level::ERROR => 'E',
        Level::WARN => 'W',
        Level::INFO | Level::DEBUG | Level::TRACE => 'I',
    };
    write!(
        out,
        "{severity}{:02}{:02} {:02}:{:02}:{:02}.{:06} {process:7} {file}:{line}] ",
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.microsecond(),
    )
}

/// Writes the fields of a span as they follow in its events' lines.
#[derive(Debug)]
pub(super) struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'w>, fields: R) -> fmt::Result {
        let mut text = FieldText::default();
        fields.record(&mut text);
        out.write_str(&text.pairs)
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// The fields of an event as text: the message as it is, the others as ` key=value` each.
#[derive(Default)]
struct FieldText {
    message: String,
    pairs: String,
}

impl FieldText {
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        write!(self.pairs, " {field}={value}").expect("writing to a string can't fail");
    }
}

impl Visit for FieldText {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.bare(field, quote(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.bare(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }
}
