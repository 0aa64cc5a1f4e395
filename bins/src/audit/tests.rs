//! The log as a whole: nothing missing, nothing torn, nothing without a word; and records against their published schema.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod failing;
mod schema;

mod storm;

use std::sync::Arc;
use std::time::Duration;

use dialback_core::audit::{
    AuditMode, AuditedAgent, AuditedFrontend, AuditedStream, Event, StreamChange, StreamEvent,
};
use dialback_core::{CloseReason, ConnectId, DialId, Identity, LinkId};
use dialback_runtime::metrics::{AuditMetrics, ServerMetrics};

use crate::flags::{AuditFormat, AuditOptions, AuditOutput};

fn metrics() -> AuditMetrics {
    AuditMetrics::new(ServerMetrics::new().registry())
}

fn options(output: AuditOutput, mode: AuditMode, waiting: usize) -> AuditOptions {
    AuditOptions {
        output,
        format: AuditFormat::Json,
        mode,
        waiting,
        policy: None,
    }
}

/// A stream that has ended.
fn closed(number: u64) -> Event {
    let identity = Arc::new(Identity {
        common_name: Some("kube-apiserver".to_owned()),
        ..Identity::default()
    });
    let stream = AuditedStream {
        number,
        frontend: AuditedFrontend {
            identity: Arc::clone(&identity),
            address: None,
            mode: "grpc",
        },
        tenant: None,
        destination: "10.0.0.1:443".to_owned(),
        selector: None,
        frontend_dial: Some(DialId(-1)),
        trace: None,
        would_deny: None,
        agent: AuditedAgent {
            id: Some("agent".into()),
            identity: Some(identity),
            address: Some(([127, 0, 0, 1], 8091).into()),
            tunnel: Some(LinkId(1)),
        },
        dial: Some(DialId(1)),
        connect_id: ConnectId::new(1),
        dialled: Some(([10, 0, 0, 1], 443).into()),
    };
    let change = StreamChange::Closed {
        reason: CloseReason::FrontendClosed,
        lived: Duration::from_millis(1),
        bytes_to_endpoint: 1,
        bytes_to_frontend: 2,
    };
    Event::Stream(StreamEvent {
        stream: Arc::new(stream),
        change,
    })
}
