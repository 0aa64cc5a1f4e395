//! What happened.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::trace::TraceParent;
use crate::clip::clip;
use crate::close::CloseReason;
use crate::identity::Identity;
use crate::ids::{ConnectId, DialId, LinkId};
use crate::server::DialError;

/// Something that may be recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Recording began: the first record of a server.
    Started {
        /// The version of Dialback.
        version: &'static str,
    },
    /// There was no room for some records; they are missing in front of this one.
    Dropped {
        /// How many.
        records: u64,
    },
    /// Recording ended in order: the last record of a server.
    Stopped,
    /// Something about an agent.
    Agent(Box<AgentEvent>),
    /// Something about a stream.
    Stream(StreamEvent),
}

/// Something about an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentEvent {
    /// Which agent.
    pub agent: AuditedAgent,
    /// The identifiers that it claims, such as `host=node-1`.
    pub identifiers: Vec<String>,
    /// Its tenant, where there are tenants.
    pub tenant: Option<Arc<str>>,
    /// What happened to it.
    pub change: AgentChange,
}

/// What happened to an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentChange {
    /// It serves dials from now on.
    Connected,
    /// Its connection was lost; its streams wait for another.
    Suspended,
    /// Its streams go on.
    Resumed,
    /// It is gone, and its streams with it.
    Lost(CloseReason),
    /// It may not serve.
    Refused {
        /// In a word: `tls`, `metadata`, `authentication`, `policy` or `audit`.
        reason: &'static str,
        /// In more words.
        message: String,
    },
}

/// An agent, as far as is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditedAgent {
    /// What it calls itself.
    pub id: Option<Arc<str>>,
    /// What it has proved to be.
    pub identity: Option<Arc<Identity>>,
    /// Where its connection comes from.
    pub address: Option<SocketAddr>,
    /// Its tunnel.
    pub tunnel: Option<LinkId>,
}

/// Something about a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamEvent {
    /// Which stream. All events of one may share it.
    pub stream: Arc<AuditedStream>,
    /// What happened to it.
    pub change: StreamChange,
}

/// A stream, from what a frontend asked for to the connection that it became.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditedStream {
    /// Its number since the server started.
    pub number: u64,
    /// Who asked.
    pub frontend: AuditedFrontend,
    /// The tenant that it is for, where there are tenants.
    pub tenant: Option<Arc<str>>,
    /// `host:port`, as the frontend wrote it.
    pub destination: String,
    /// The labels that the frontend wants of the agent.
    pub selector: Option<String>,
    /// A gRPC frontend's name for the dial.
    pub frontend_dial: Option<DialId>,
    /// The trace that the request belongs to.
    pub trace: Option<TraceParent>,
    /// Why a policy in mode audit would have denied it.
    pub would_deny: Option<Box<str>>,
    /// The agent that serves it, once there is one.
    pub agent: AuditedAgent,
    /// The server's name for the dial.
    pub dial: Option<DialId>,
    /// The connection id, once the dial has succeeded.
    pub connect_id: Option<ConnectId>,
    /// The address that the agent connected to, where it tells.
    pub dialled: Option<SocketAddr>,
}

/// A frontend.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditedFrontend {
    /// What it has proved to be.
    pub identity: Arc<Identity>,
    /// Where its connection comes from; `None` for a Unix socket.
    pub address: Option<SocketAddr>,
    /// `grpc` or `http-connect`.
    pub mode: &'static str,
}

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamChange {
    /// The dial succeeded.
    Opened {
        /// From the request to the answer.
        took: Duration,
    },
    /// The dial did not lead to a connection.
    Failed {
        /// Why not; `None` when the frontend gave it up.
        error: Option<DialError>,
        /// From the request to the failure.
        took: Duration,
    },
    /// The stream has ended.
    Closed {
        /// Why.
        reason: CloseReason,
        /// From the answer to the end.
        lived: Duration,
        /// Payload taken from the frontend.
        bytes_to_endpoint: u64,
        /// Payload given to the frontend.
        bytes_to_frontend: u64,
    },
}

/// What an event is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// [`Event::Started`].
    AuditStarted,
    /// [`Event::Dropped`].
    AuditDropped,
    /// [`Event::Stopped`].
    AuditStopped,
    /// [`AgentChange::Connected`].
    AgentConnected,
    /// [`AgentChange::Suspended`].
    AgentSuspended,
    /// [`AgentChange::Resumed`].
    AgentResumed,
    /// [`AgentChange::Lost`].
    AgentLost,
    /// [`AgentChange::Refused`].
    AgentRefused,
    /// [`StreamChange::Opened`].
    StreamOpened,
    /// [`StreamChange::Failed`] since the operator does not allow it.
    StreamDenied,
    /// [`StreamChange::Failed`] over a limit.
    StreamThrottled,
    /// [`StreamChange::Failed`] for any other reason.
    StreamFailed,
    /// [`StreamChange::Closed`].
    StreamClosed,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::AuditStarted,
        Self::AuditDropped,
        Self::AuditStopped,
        Self::AgentConnected,
        Self::AgentSuspended,
        Self::AgentResumed,
        Self::AgentLost,
        Self::AgentRefused,
        Self::StreamOpened,
        Self::StreamDenied,
        Self::StreamThrottled,
        Self::StreamFailed,
        Self::StreamClosed,
    ];

    /// The name in records, such as `stream.opened`. It never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuditStarted => "audit.started",
            Self::AuditDropped => "audit.dropped",
            Self::AuditStopped => "audit.stopped",
            Self::AgentConnected => "agent.connected",
            Self::AgentSuspended => "agent.suspended",
            Self::AgentResumed => "agent.resumed",
            Self::AgentLost => "agent.lost",
            Self::AgentRefused => "agent.refused",
            Self::StreamOpened => "stream.opened",
            Self::StreamDenied => "stream.denied",
            Self::StreamThrottled => "stream.throttled",
            Self::StreamFailed => "stream.failed",
            Self::StreamClosed => "stream.closed",
        }
    }

    /// Whether it is about recording itself; such events are always recorded.
    #[must_use]
    pub const fn is_of_audit(self) -> bool {
        matches!(
            self,
            Self::AuditStarted | Self::AuditDropped | Self::AuditStopped
        )
    }
}

impl Event {
    /// What it is called.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Started { .. } => EventKind::AuditStarted,
            Self::Dropped { .. } => EventKind::AuditDropped,
            Self::Stopped => EventKind::AuditStopped,
            Self::Agent(event) => match event.change {
                AgentChange::Connected => EventKind::AgentConnected,
                AgentChange::Suspended => EventKind::AgentSuspended,
                AgentChange::Resumed => EventKind::AgentResumed,
                AgentChange::Lost(_) => EventKind::AgentLost,
                AgentChange::Refused { .. } => EventKind::AgentRefused,
            },
            Self::Stream(event) => match &event.change {
                StreamChange::Opened { .. } => EventKind::StreamOpened,
                StreamChange::Failed {
                    error: Some(DialError::Denied { .. }),
                    ..
                } => EventKind::StreamDenied,
                StreamChange::Failed {
                    error: Some(DialError::Throttled { .. }),
                    ..
                } => EventKind::StreamThrottled,
                StreamChange::Failed { .. } => EventKind::StreamFailed,
                StreamChange::Closed { .. } => EventKind::StreamClosed,
            },
        }
    }

    /// Whether it belongs to something that was let in: [`AuditMode::Strict`](super::AuditMode::Strict) finds room for it
    /// whatever happens, which is bounded, since what is let in is.
    pub(super) fn is_owed(&self) -> bool {
        match self {
            Self::Started { .. } | Self::Dropped { .. } | Self::Stopped => true,
            Self::Agent(event) => match event.change {
                AgentChange::Connected | AgentChange::Lost(_) => true,
                // As often as an agent likes.
                AgentChange::Suspended | AgentChange::Resumed | AgentChange::Refused { .. } => {
                    false
                }
            },
            Self::Stream(event) => match &event.change {
                StreamChange::Failed {
                    error: Some(DialError::AuditBlocked),
                    ..
                } => false,
                StreamChange::Opened { .. }
                | StreamChange::Failed { .. }
                | StreamChange::Closed { .. } => true,
            },
        }
    }
}

/// Texts of peers are cut to so many bytes.
pub(super) const MOST_TEXT: usize = 1024;

impl Event {
    /// The same with texts of bounded length.
    pub(super) fn bounded(mut self) -> Self {
        match &mut self {
            Self::Started { .. } | Self::Dropped { .. } | Self::Stopped => {}
            Self::Agent(event) => {
                bound_id(&mut event.agent.id);
                event.identifiers.iter_mut().for_each(bound);
                match &mut event.change {
                    AgentChange::Lost(reason) => bound_reason(reason),
                    AgentChange::Refused { message, .. } => bound(message),
                    AgentChange::Connected | AgentChange::Suspended | AgentChange::Resumed => {}
                }
            }
            Self::Stream(event) => {
                let StreamEvent { stream, change } = event;
                bound_stream(stream);
                match change {
                    StreamChange::Opened { .. } | StreamChange::Failed { error: None, .. } => {}
                    StreamChange::Failed {
                        error: Some(error), ..
                    } => bound_error(error),
                    StreamChange::Closed { reason, .. } => bound_reason(reason),
                }
            }
        }
        self
    }
}

fn bound_stream(stream: &mut Arc<AuditedStream>) {
    let id = stream.agent.id.as_deref();
    let texts = [Some(&*stream.destination), stream.selector.as_deref(), id];
    if texts
        .into_iter()
        .flatten()
        .any(|text| text.len() > MOST_TEXT)
    {
        let stream = Arc::make_mut(stream);
        bound(&mut stream.destination);
        stream.selector.as_mut().map(bound);
        bound_id(&mut stream.agent.id);
    }
}

fn bound_error(error: &mut DialError) {
    match error {
        DialError::Refused(words) => bound(words),
        DialError::Denied { reason } => bound(reason),
        DialError::Throttled { .. }
        | DialError::NoAgent
        | DialError::SendTimedOut
        | DialError::TimedOut
        | DialError::AgentLost
        | DialError::ClosedByAgent
        | DialError::InvalidAnswer
        | DialError::TooManyStreams { .. }
        | DialError::TooManyDials { .. }
        | DialError::AuditBlocked => {}
    }
}

fn bound_reason(reason: &mut CloseReason) {
    match reason {
        CloseReason::EndpointFailed(words)
        | CloseReason::Denied(words)
        | CloseReason::Other(_, words) => bound(words),
        CloseReason::FrontendClosed
        | CloseReason::FrontendLost
        | CloseReason::EndpointClosed
        | CloseReason::TunnelLost
        | CloseReason::NotResumed
        | CloseReason::SessionUnknown
        | CloseReason::TunnelEnded(_)
        | CloseReason::SlowReader(_)
        | CloseReason::WindowOverrun(_)
        | CloseReason::DataBehindEnd(_)
        | CloseReason::CloseTimedOut(_)
        | CloseReason::MismatchedIds
        | CloseReason::AgentGaveUp => {}
    }
}

fn bound_id(id: &mut Option<Arc<str>>) {
    if let Some(long) = id.as_mut().filter(|id| id.len() > MOST_TEXT) {
        *long = clip(long, MOST_TEXT).into();
    }
}

fn bound(text: &mut String) {
    if text.len() > MOST_TEXT {
        *text = clip(text, MOST_TEXT);
    }
}
