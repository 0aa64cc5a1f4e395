//! A record as a line.

use dialback_core::audit::{Field, Record, Value};

use crate::flags::{AuditFormat, quote};

/// Writes a record and the end of its line, which is the only one: whatever a peer has written is escaped.
pub(super) fn write_line(format: AuditFormat, record: &Record<'_>, lines: &mut Vec<u8>) {
    match format {
        AuditFormat::Json => serde_json::to_writer(&mut *lines, record)
            .expect("texts and numbers are JSON, and memory takes them"),
        AuditFormat::Legacy => lines.extend_from_slice(legacy(record).as_bytes()),
    }
    lines.push(b'\n');
}

/// The form that kube-apiserver calls by this name, with our fields.
fn legacy(record: &Record<'_>) -> String {
    let mut line = format!("{} AUDIT:", Value::Time(record.time));
    for (field, value) in record.fields() {
        if field != Field::Time {
            line.push_str(&format!(" {field}={}", quote(&value.to_string())));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use dialback_core::audit::{AgentChange, AgentEvent, AuditedAgent, Event, FieldSet};

    use super::*;

    #[test]
    fn a_record_is_one_line_in_either_form() {
        let agent = AgentEvent {
            agent: AuditedAgent {
                id: Some("a\nb\"".into()),
                ..AuditedAgent::default()
            },
            identifiers: vec!["host=a".to_owned(), "host=b".to_owned()],
            tenant: None,
            change: AgentChange::Connected,
        };
        let record = Record {
            time: UNIX_EPOCH,
            sequence: 3,
            server: "s",
            event: &Event::Agent(Box::new(agent)),
            omitted: FieldSet::EMPTY,
        };
        let written = |format| {
            let mut lines = Vec::new();
            write_line(format, &record, &mut lines);
            String::from_utf8(lines).expect("both are UTF-8")
        };
        assert_eq!(
            written(AuditFormat::Legacy),
            "1970-01-01T00:00:00.000000Z AUDIT: schema=\"dialback.audit/v1\" sequence=\"3\" \
             event=\"agent.connected\" server=\"s\" agent.id=\"a\\nb\\\"\" \
             agent.identifiers=\"host=a,host=b\"\n"
        );
        assert_eq!(
            written(AuditFormat::Json),
            "{\"schema\":\"dialback.audit/v1\",\"time\":\"1970-01-01T00:00:00.000000Z\",\"sequence\":3,\
             \"event\":\"agent.connected\",\"server\":\"s\",\
             \"agent\":{\"id\":\"a\\nb\\\"\",\"identifiers\":[\"host=a\",\"host=b\"]}}\n"
        );
    }
}
