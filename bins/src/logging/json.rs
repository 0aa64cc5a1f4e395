//! Log lines as JSON, with the keys that Kubernetes' own components use: `ts`, `caller`, `msg`, `v`.

use std::fmt::{self, Write as _};

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::filter::verbosity_of;
use super::source::Source;
use crate::flags::LoggingOptions;

/// Writes events as one JSON object a line: `ts` in milliseconds since 1970, `severity`, `v` (the verbosity from
/// which the line is logged), `caller`, `msg`, and the fields of the event and its spans.
#[derive(Debug)]
pub(super) struct JsonLines {
    with_directory: bool,
}

impl JsonLines {
    pub(super) fn new(options: &LoggingOptions) -> Self {
        Self {
            with_directory: options.directory_in_header.on,
        }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
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
        let severity = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO | Level::DEBUG | Level::TRACE => "INFO",
        };
        let microseconds = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000;
        let mut fields = FieldJson::default();
        event.record(&mut fields);
        write!(
            out,
            "{{\"ts\":{}.{:03},\"severity\":\"{severity}\",\"v\":{},\"caller\":{},\"msg\":{}{}",
            microseconds / 1_000,
            microseconds % 1_000,
            verbosity_of(metadata).max(0),
            json_text(&format!(
                "{}:{}",
                source.shown(self.with_directory),
                source.line
            )),
            json_text(&fields.message),
            fields.members,
        )?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                out.write_str(fields)?;
            }
        }
        out.write_str("}\n")
    }
}

fn json_text(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}

/// Writes the fields of a span as they follow in its events' objects.
#[derive(Debug)]
pub(super) struct JsonFields;

impl<'w> FormatFields<'w> for JsonFields {
    fn format_fields<R: RecordFields>(&self, mut out: Writer<'w>, fields: R) -> fmt::Result {
        let mut json = FieldJson::default();
        fields.record(&mut json);
        out.write_str(&json.members)
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

/// The fields of an event: the message as it is, the others as `,"key":value` each.
#[derive(Default)]
struct FieldJson {
    message: String,
    members: String,
}

impl FieldJson {
    fn member(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        write!(
            self.members,
            ",{}:{}",
            json_text(field.name()),
            value.into()
        )
        .expect("writing to a string can't fail");
    }
}

impl Visit for FieldJson {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.member(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, value);
    }
}
