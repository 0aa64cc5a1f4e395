//! What a server has recorded: of agents as they come and go, and of each dial from its request to its end.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use dialback_core::audit::{
    AgentChange, AgentEvent, AuditedAgent, AuditedFrontend, AuditedStream, Event, StreamChange,
    StreamEvent, TraceParent,
};
use dialback_core::server::DialError;
use dialback_core::throttle::Direction;
use dialback_core::{CloseReason, ConnectId, DialId, Initiator, LinkId};

use super::dialling::{DialRequest, Started};
use super::frontend::FrontendMode;
use super::{AgentTunnel, Server};
use crate::metrics::{TenantDial, TenantMetrics};
use crate::net::PeerAddr;
use crate::runtime::Runtime;
use crate::status::{AuditStatus, describe};

/// Who takes what a server records: a file, or whatever an embedder has.
///
/// Every method is called where bytes are moved: they return at once, and write elsewhere.
pub trait AuditSink: fmt::Debug + Send + Sync + 'static {
    /// Takes an event. What does not fit is dropped and counted, never waited for.
    fn record(&self, event: Event);

    /// Whether new streams and agents may begin; where they may not, they are refused.
    fn admits(&self) -> bool;

    /// How it is, for [`Server::status`].
    fn status(&self) -> AuditStatus;
}

/// Follows a dial from its request to its end, so that each is recorded and counted once. Dropped before the end, the frontend
/// has gone.
pub(crate) struct Trail<R: Runtime> {
    server: Arc<Server<R>>,
    /// Shared with the records of it: complete before the first of them.
    stream: Arc<AuditedStream>,
    tenant: Option<Arc<TenantMetrics>>,
    asked: Instant,
    state: TrailState,
    bytes: [u64; 2],
    /// How the frontend's side ended the stream, or the endpoint its direction: whichever came first, if that was in order.
    end: Option<CloseReason>,
}

#[derive(Clone, Copy, Debug)]
enum TrailState {
    /// Not answered.
    Asked,
    /// Since then.
    Open(Instant),
    /// All is told.
    Ended,
}

impl<R: Runtime> fmt::Debug for Trail<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail")
            .field("stream", &self.stream.number)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> Server<R> {
    /// Follows a dial, where somebody wants to know. A gRPC frontend has a name of its own for it.
    pub(super) fn follow(
        self: &Arc<Self>,
        request: &mut DialRequest<R>,
        frontend_dial: Option<DialId>,
        trace: Option<TraceParent>,
    ) {
        let frontend = &request.frontend;
        let policy = self.agents().policy.clone();
        let tenant: Option<Arc<str>> = policy.and_then(|policy| {
            let tenant = policy.tenant_of_frontend(&frontend.identity)?;
            policy.tenant_name(tenant).map(Arc::from)
        });
        if self.config.audit.is_none() && tenant.is_none() {
            return;
        }
        request.trail = Some(Box::new(Trail {
            tenant: tenant.as_ref().map(|tenant| self.metrics.tenant(tenant)),
            stream: Arc::new(AuditedStream {
                number: self.next_stream(),
                frontend: AuditedFrontend {
                    identity: Arc::clone(&frontend.identity),
                    address: frontend.peer.tcp(),
                    mode: match frontend.mode {
                        FrontendMode::Grpc => "grpc",
                        FrontendMode::HttpConnect => "http-connect",
                    },
                },
                tenant,
                destination: request.address.clone(),
                selector: request.selector.clone(),
                frontend_dial,
                trace,
                would_deny: None,
                agent: AuditedAgent::default(),
                dial: None,
                connect_id: None,
                dialled: None,
            }),
            asked: self.runtime.now(),
            state: TrailState::Asked,
            bytes: [0; 2],
            end: None,
            server: Arc::clone(self),
        }));
    }

    /// Whether something new may begin.
    pub(super) fn audit_admits(&self) -> bool {
        self.config
            .audit
            .as_ref()
            .is_none_or(|audit| audit.admits())
    }

    /// Has a change of a connected agent recorded.
    pub(super) fn audit_link(&self, link: LinkId, change: AgentChange) {
        if self.config.audit.is_some() {
            let agent = self.agents().tunnels.get(&link).cloned();
            if let Some(agent) = agent {
                self.audit_agent(&agent, change);
            }
        }
    }

    /// Has a change of an agent with a tunnel recorded.
    pub(super) fn audit_agent(&self, agent: &AgentTunnel, change: AgentChange) {
        if let Some(audit) = &self.config.audit {
            let tenant = self.agents().tenant_name(agent).map(Arc::from);
            audit.record(Event::Agent(Box::new(AgentEvent {
                agent: audited(agent),
                identifiers: describe(&agent.claimed.identifiers),
                tenant,
                change,
            })));
        }
    }

    /// Has it recorded that an agent was refused, which calls itself `id`, if it got so far.
    pub(super) fn audit_refused_agent(
        &self,
        id: Option<&str>,
        peer: PeerAddr,
        reason: &'static str,
        message: &dyn fmt::Display,
    ) {
        if let Some(audit) = &self.config.audit {
            audit.record(Event::Agent(Box::new(AgentEvent {
                agent: AuditedAgent {
                    id: id.map(Arc::from),
                    address: peer.tcp(),
                    ..AuditedAgent::default()
                },
                identifiers: Vec::new(),
                tenant: None,
                change: AgentChange::Refused {
                    reason,
                    message: message.to_string(),
                },
            })));
        }
    }
}

impl<R: Runtime> Trail<R> {
    /// A policy in mode audit would have denied it.
    pub(super) fn would_be_denied(&mut self, reason: Option<Box<str>>) {
        Arc::make_mut(&mut self.stream).would_deny = reason;
    }

    /// The dial succeeded, at this agent.
    pub(super) fn opened(&mut self, started: &Started, connect_id: ConnectId) {
        let now = self.server.runtime.now();
        self.answered_by(started);
        Arc::make_mut(&mut self.stream).connect_id = Some(connect_id);
        self.state = TrailState::Open(now);
        if let Some(tenant) = &self.tenant {
            tenant.opened();
        }
        let took = now - self.asked;
        self.tell(StreamChange::Opened { took });
    }

    /// Which agent has answered, or did not.
    pub(super) fn answered_by(&mut self, started: &Started) {
        let Started {
            tunnel,
            stream,
            dial,
            ..
        } = started;
        let link = tunnel.id();
        let agent = self.server.agents().tunnels.get(&link).map(audited);
        let audited = Arc::make_mut(&mut self.stream);
        audited.agent = agent.unwrap_or_else(|| AuditedAgent {
            id: Some(tunnel.peer_id().into()),
            tunnel: Some(link),
            ..AuditedAgent::default()
        });
        audited.dial = *dial;
        audited.dialled = tunnel.with(|link| link.dialled_address(*stream));
    }

    /// The dial failed; nothing more comes.
    pub(super) fn failed(&mut self, error: Option<&DialError>) {
        let TrailState::Asked = self.state else {
            return;
        };
        self.state = TrailState::Ended;
        if let Some(tenant) = &self.tenant {
            tenant.dialled(match error {
                Some(DialError::Denied { .. }) => TenantDial::Denied,
                Some(DialError::Throttled { .. }) => TenantDial::Throttled,
                Some(_) | None => TenantDial::Failed,
            });
        }
        let took = self.server.runtime.now() - self.asked;
        let error = error.cloned();
        self.tell(StreamChange::Failed { error, took });
    }

    /// So many bytes of payload have passed.
    pub(super) fn passed(&mut self, direction: Direction, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes[direction as usize] += bytes;
        if let Some(tenant) = &self.tenant {
            tenant.passed(direction, bytes);
        }
    }

    /// The frontend's side ends the stream, or either side its own direction.
    pub(super) fn ends(&mut self, reason: CloseReason) {
        let is_told = match &self.end {
            None => false,
            Some(end) => reason.is_orderly() || !end.is_orderly(),
        };
        if !is_told {
            self.end = Some(reason);
        }
    }

    /// The stream has ended; nothing more comes. Where both sides have ended it in order, the first one is told.
    pub(super) fn closed(&mut self, mut reason: CloseReason) {
        let TrailState::Open(since) = self.state else {
            return;
        };
        self.state = TrailState::Ended;
        if reason.is_orderly()
            && let Some(first) = self.end.take().filter(CloseReason::is_orderly)
        {
            reason = first;
        }
        if let Some(tenant) = &self.tenant {
            tenant.closed();
        }
        let [bytes_to_endpoint, bytes_to_frontend] = self.bytes;
        self.tell(StreamChange::Closed {
            reason,
            lived: self.server.runtime.now() - since,
            bytes_to_endpoint,
            bytes_to_frontend,
        });
    }

    fn tell(&self, change: StreamChange) {
        if let Some(audit) = &self.server.config.audit {
            let stream = Arc::clone(&self.stream);
            audit.record(Event::Stream(StreamEvent { stream, change }));
        }
    }
}

impl<R: Runtime> Drop for Trail<R> {
    fn drop(&mut self) {
        match self.state {
            TrailState::Asked => self.failed(None),
            TrailState::Open(_) => {
                let reason = self.end.take().unwrap_or_else(|| {
                    if self.server.stop.is_ending() {
                        CloseReason::TunnelEnded(Initiator::Server)
                    } else {
                        CloseReason::FrontendLost
                    }
                });
                self.closed(reason);
            }
            TrailState::Ended => {}
        }
    }
}

fn audited(agent: &AgentTunnel) -> AuditedAgent {
    AuditedAgent {
        id: Some(agent.claimed.agent_id.as_str().into()),
        identity: Some(Arc::clone(&agent.identity)),
        address: agent.peer.tcp(),
        tunnel: Some(agent.tunnel.id()),
    }
}
