//! An audit log in memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dialback_core::audit::{Event, EventKind, FieldSet, Record};
use dialback_runtime::server::AuditSink;
use dialback_runtime::status::AuditStatus;

use crate::wait::eventually;

/// Keeps what was recorded, and may be told to take nothing.
#[derive(Debug, Default)]
pub struct Recorded {
    events: Mutex<Vec<Event>>,
    blocked: AtomicBool,
}

impl Recorded {
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on nothing new may begin, or it may.
    pub fn block(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::SeqCst);
    }

    /// What was recorded so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    /// What the events so far are called.
    #[must_use]
    pub fn kinds(&self) -> Vec<EventKind> {
        self.events().iter().map(Event::kind).collect()
    }

    /// The fields of the newest event of this kind, once there are `count`.
    pub async fn newest(&self, kind: EventKind, count: usize) -> serde_json::Value {
        let of_kind = || {
            let mut events = self.events();
            events.retain(|event| event.kind() == kind);
            events
        };
        let what = format!("{count} {}", kind.name());
        eventually(&what, || of_kind().len() >= count).await;
        let events = of_kind();
        assert_eq!(events.len(), count, "{}", kind.name());
        serde_json::to_value(Record {
            time: std::time::SystemTime::now(),
            sequence: 1,
            server: "server",
            event: events.last().unwrap(),
            omitted: FieldSet::EMPTY,
        })
        .unwrap()
    }
}

impl AuditSink for Recorded {
    fn record(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn admits(&self) -> bool {
        !self.blocked.load(Ordering::SeqCst)
    }

    fn status(&self) -> AuditStatus {
        AuditStatus {
            strict: true,
            blocked: !self.admits(),
            ..AuditStatus::default()
        }
    }
}
