//! A day of made-up events against `docs/audit.schema.json` and the tables of `docs/auditing.md`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dialback_core::audit::{
    AgentChange, AgentEvent, AuditPolicy, AuditQueue, EventKind, Field, Record, TraceParent,
};
use dialback_core::server::DialError;
use dialback_core::{ServiceAccount, UnixCredentials};
use serde_json::Value;

use super::*;
use crate::audit::format::write_line;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const EVENTS: u32 = 20_000;

fn documentation(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// What is wrong with a value, by the part of JSON Schema that ours uses; other keywords fail.
fn problems(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, wanted) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match wanted.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_u64(),
                "number" => value.is_number(),
                other => panic!("unknown type {other}"),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_f64() >= wanted.as_f64(),
            "minItems" => value.as_array().unwrap().len() as u64 >= wanted.as_u64().unwrap(),
            "pattern" => is_like(wanted.as_str().unwrap(), value.as_str().unwrap()),
            "required" => {
                let names = wanted.as_array().unwrap().iter();
                names
                    .map(|name| name.as_str().unwrap())
                    .all(|name| value.get(name).is_some())
            }
            "additionalProperties" => {
                assert_eq!(wanted, &Value::Bool(false));
                let known = &schema["properties"];
                value
                    .as_object()
                    .unwrap()
                    .keys()
                    .all(|name| known.get(name).is_some())
            }
            "items" => {
                for item in value.as_array().unwrap() {
                    problems(wanted, item, at, found);
                }
                true
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        problems(schema, value, &format!("{at}.{name}"), found);
                    }
                }
                true
            }
            other => panic!("unknown keyword {other}"),
        };
        if !holds {
            found.push(format!("{at}: {keyword}"));
        }
    }
}

/// The patterns of the schema: digits of some kind in some number, and the marks between them.
fn is_like(pattern: &str, text: &str) -> bool {
    let hex =
        |count| text.len() == count && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
    match pattern {
        "^-?[0-9]+$" => text.parse::<i64>().is_ok(),
        "^[0-9a-f]{32}$" => hex(32),
        "^[0-9a-f]{16}$" => hex(16),
        time => {
            assert!(time.starts_with("^[0-9]{4}-"), "unknown pattern {time}");
            let shape = text.replace(|c: char| c.is_ascii_digit(), "0");
            shape == "0000-00-00T00:00:00.000000Z"
        }
    }
}

/// Whatever may happen, in any combination.
fn random_event(random: &mut fastrand::Rng, number: u64) -> Event {
    let text = |random: &mut fastrand::Rng| -> String {
        let length = random.usize(0..30);
        (0..length).map(|_| random.char(..)).collect()
    };
    let mut identity = Identity::default();
    for list in [
        &mut identity.organizations,
        &mut identity.dns_names,
        &mut identity.uris,
    ] {
        *list = (0..random.usize(0..3)).map(|_| text(random)).collect();
    }
    identity.common_name = random.bool().then(|| text(random));
    identity.service_account = random.bool().then(|| ServiceAccount {
        namespace: text(random),
        name: text(random),
    });
    identity.unix = random.bool().then(|| UnixCredentials {
        user_id: random.u32(..),
        group_id: random.u32(..),
        process_id: random.bool().then(|| random.u32(..)),
    });
    let identity = Arc::new(identity);
    let agent = AuditedAgent {
        id: random.bool().then(|| text(random).into()),
        identity: random.bool().then(|| Arc::clone(&identity)),
        address: random.bool().then(|| ([10, 0, 0, random.u8(..)], 1).into()),
        tunnel: random.bool().then(|| LinkId(random.u64(..))),
    };
    let tenant: Option<Arc<str>> = random.bool().then(|| text(random).into());
    let reasons = [
        CloseReason::FrontendClosed,
        CloseReason::EndpointFailed(text(random)),
        CloseReason::NotResumed,
        CloseReason::Denied(text(random)),
    ];
    let reason = reasons[random.usize(..reasons.len())].clone();
    if random.u8(..10) < 2 {
        let change = match random.u8(..5) {
            0 => AgentChange::Connected,
            1 => AgentChange::Suspended,
            2 => AgentChange::Resumed,
            3 => AgentChange::Lost(reason),
            _ => AgentChange::Refused {
                reason: "policy",
                message: text(random),
            },
        };
        return Event::Agent(Box::new(AgentEvent {
            agent,
            identifiers: (0..random.usize(0..3)).map(|_| text(random)).collect(),
            tenant,
            change,
        }));
    }
    let errors = [
        DialError::NoAgent,
        DialError::TimedOut,
        DialError::Refused(text(random)),
        DialError::Denied {
            reason: text(random),
        },
        DialError::Throttled {
            limit: text(random),
            retry_after: Duration::from_millis(random.u64(..5000)),
        },
    ];
    let took = Duration::from_micros(random.u64(..1_000_000));
    let change = match random.u8(..4) {
        0 => StreamChange::Opened { took },
        1 => StreamChange::Failed {
            error: random
                .bool()
                .then(|| errors[random.usize(..errors.len())].clone()),
            took,
        },
        _ => StreamChange::Closed {
            reason,
            lived: took,
            bytes_to_endpoint: random.u64(..),
            bytes_to_frontend: random.u64(..),
        },
    };
    let trace: TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        .parse()
        .unwrap();
    let stream = AuditedStream {
        number,
        frontend: AuditedFrontend {
            identity,
            address: random.bool().then(|| ([0, 0, 0, 0, 0, 0, 0, 1], 1).into()),
            mode: if random.bool() {
                "grpc"
            } else {
                "http-connect"
            },
        },
        tenant,
        destination: text(random),
        selector: random.bool().then(|| text(random)),
        frontend_dial: random.bool().then(|| DialId(random.i64(..))),
        trace: random.bool().then_some(trace),
        would_deny: random.bool().then(|| text(random).into()),
        agent,
        dial: random.bool().then(|| DialId(random.i64(..))),
        connect_id: ConnectId::new(random.i64(..)),
        dialled: random
            .bool()
            .then(|| ([10, 0, 0, 1], random.u16(..)).into()),
    };
    Event::Stream(StreamEvent {
        stream: Arc::new(stream),
        change,
    })
}

#[test]
fn a_day_of_events_is_as_the_schema_says() {
    let schema: Value = serde_json::from_str(&documentation("audit.schema.json")).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut queue = AuditQueue::new(AuditMode::BestEffort, 8, AuditPolicy::default());
    let (mut seen, mut fields) = (BTreeSet::new(), BTreeSet::new());
    let start = UNIX_EPOCH + Duration::from_secs(1_795_478_400);
    let mut before = String::new();
    let mut next = 1;
    queue.offer(start, Event::Started { version: "1.2.3" });
    for number in 0..EVENTS {
        let now: SystemTime = start + DAY / EVENTS * number;
        if number + 1 == EVENTS {
            queue.offer(now, Event::Stopped);
        } else {
            queue.offer(now, random_event(&mut random, u64::from(number) + 1));
        }
        // Now and then the log is slow, so that some are dropped.
        if number % 1000 > 980 && number + 1 < EVENTS {
            continue;
        }
        for queued in queue.take(now, usize::MAX) {
            let record = Record {
                time: queued.time,
                sequence: queued.sequence,
                server: "server-1",
                event: &queued.event,
                omitted: queued.omitted,
            };
            let mut line = Vec::new();
            write_line(AuditFormat::Json, &record, &mut line);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let value: Value = serde_json::from_slice(&line).unwrap();
            let mut found = Vec::new();
            problems(&schema, &value, "", &mut found);
            assert!(found.is_empty(), "{found:?} in {value}");
            let time = value["time"].as_str().unwrap().to_owned();
            assert!(before <= time, "times never go back");
            before = time;
            let gap = value["sequence"].as_u64().unwrap() - next;
            assert_eq!(gap, value["records"].as_u64().unwrap_or(0));
            next += gap + 1;
            seen.insert(value["event"].as_str().unwrap().to_owned());
            fields.extend(record.fields().into_iter().map(|(field, _)| field));
        }
    }
    let all: BTreeSet<_> = EventKind::ALL
        .iter()
        .map(|kind| kind.name().to_owned())
        .collect();
    assert_eq!(seen, all, "every event came");
    assert_eq!(fields.len(), Field::ALL.len(), "and every field");
}

#[test]
fn the_schema_and_the_manual_name_every_field_and_event_and_no_other() {
    let schema: Value = serde_json::from_str(&documentation("audit.schema.json")).unwrap();
    let mut in_schema = BTreeSet::new();
    for (name, part) in schema["properties"].as_object().unwrap() {
        match part.get("properties") {
            None => {
                in_schema.insert(name.clone());
            }
            Some(members) => {
                let members = members.as_object().unwrap().keys();
                in_schema.extend(members.map(|member| format!("{name}.{member}")));
            }
        }
    }
    let fields: BTreeSet<_> = Field::ALL
        .iter()
        .map(|field| field.path().to_owned())
        .collect();
    assert_eq!(in_schema, fields);
    let manual = documentation("auditing.md");
    let rows = |heading: &str| -> BTreeSet<String> {
        let section = manual
            .split(heading)
            .nth(1)
            .unwrap_or_else(|| panic!("no {heading}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        let cells = section.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = cells.filter_map(|cell| cell.split(" | ").next());
        let names = names.flat_map(|cell| cell.split(", "));
        names
            .map(|name| name.trim_matches('`').to_owned())
            .collect()
    };
    assert_eq!(rows("\n## Fields\n"), fields);
    let events: BTreeSet<_> = EventKind::ALL
        .iter()
        .map(|kind| kind.name().to_owned())
        .collect();
    assert_eq!(rows("\n## Events\n"), events);
}
