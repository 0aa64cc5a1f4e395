//! What is recorded, how it reads, and that nothing is lost without a word.

mod policy;
mod queue;
mod record;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::close::CloseReason;
use crate::identity::Identity;
use crate::ids::{ConnectId, DialId, LinkId};
use crate::server::DialError;

/// 2026-11-24T01:30:00Z.
const TIME: Duration = Duration::from_secs(1_795_483_800);

fn time() -> SystemTime {
    UNIX_EPOCH + TIME
}

fn identity(name: &str, organization: &str) -> Arc<Identity> {
    Arc::new(Identity {
        common_name: Some(name.to_owned()),
        organizations: vec![organization.to_owned()],
        ..Identity::default()
    })
}

fn stream(change: StreamChange) -> Event {
    let agent = AuditedAgent {
        id: Some("agent-1".into()),
        identity: Some(identity("agent", "blue")),
        address: Some(([10, 0, 0, 9], 4711).into()),
        tunnel: Some(LinkId(3)),
    };
    let stream = AuditedStream {
        number: 7,
        frontend: AuditedFrontend {
            identity: identity("kube-apiserver", "system:masters"),
            address: Some(([127, 0, 0, 1], 50_000).into()),
            mode: "grpc",
        },
        tenant: Some("blue".into()),
        destination: "web.blue.svc:443".to_owned(),
        selector: None,
        frontend_dial: Some(DialId(-9_007_199_254_740_993)),
        trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            .parse()
            .ok(),
        would_deny: None,
        agent,
        dial: Some(DialId(12)),
        connect_id: ConnectId::new(5),
        dialled: Some(([10, 96, 0, 1], 443).into()),
    };
    Event::Stream(StreamEvent {
        stream: Arc::new(stream),
        change,
    })
}

fn opened() -> Event {
    let took = Duration::from_micros(8_250);
    stream(StreamChange::Opened { took })
}

fn closed(reason: CloseReason) -> Event {
    stream(StreamChange::Closed {
        reason,
        lived: Duration::from_millis(61_500),
        bytes_to_endpoint: 17,
        bytes_to_frontend: 4096,
    })
}

fn failed(error: Option<DialError>) -> Event {
    let took = Duration::from_secs(1);
    stream(StreamChange::Failed { error, took })
}

fn agent(change: AgentChange) -> Event {
    Event::Agent(Box::new(AgentEvent {
        agent: AuditedAgent {
            id: Some("agent-1".into()),
            ..AuditedAgent::default()
        },
        identifiers: vec!["host=a.example".to_owned(), "label=zone:a".to_owned()],
        tenant: None,
        change,
    }))
}
