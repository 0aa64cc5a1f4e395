//! What is written down of agents and streams, for whoever has to know afterwards who reached what.
//!
//! | piece | what it is |
//! | --- | --- |
//! | [`Event`] | what happened, as the driver tells it |
//! | [`AuditPolicy`] | which events are recorded, and with which fields |
//! | [`AuditQueue`] | records that wait to be written: bounded, numbered, and never lost without a word |
//! | [`Record`] | an event with its time and number; it serialises as one JSON object of a stable schema |
//! | [`Rotation`], [`Retention`] | when a file is full, what it is called then, and which of the old ones go |
//!
//! Pure, as everything here: the time of day comes in as an argument, and whoever drives it writes the files.

mod civil;
mod event;
mod field;
mod policy;
mod queue;
mod record;
mod rotation;
#[cfg(test)]
mod tests;
mod trace;

pub use event::{
    AgentChange, AgentEvent, AuditedAgent, AuditedFrontend, AuditedStream, Event, EventKind,
    StreamChange, StreamEvent,
};
pub use field::{Field, FieldSet};
pub use policy::{AuditPolicy, AuditPolicyError};
pub use queue::{AuditMode, AuditQueue, Offered, Queued};
pub use record::{Record, SCHEMA, Value};
pub use rotation::{
    Backup, BackupNames, BackupTask, DEFAULT_MAX_BYTES, Form, Retention, Rotation, Stamp, Step,
};
pub use trace::{InvalidTraceParent, ParentId, TRACE_PARENT, TraceId, TraceParent};
