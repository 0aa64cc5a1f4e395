//! An agent's Connect call: refused, the start of a tunnel, or another transport for one.

use std::sync::{Arc, Mutex};

use dialback_core::audit::AgentChange;
use dialback_core::server::{Link, ResumeRefused};
use dialback_core::wire::{
    AGENT_ID, AGENT_IDENTIFIERS, AgentMetadata, AgentMetadataError, Code, EXTENSIONS, Extensions,
    NO_SESSION, PROBE, RESUME, ResumeAnswer, ResumeOffer, SERVER_COUNT, SERVER_ID, SESSION,
    SessionGrant, SessionId, SessionToken, Status,
};
use dialback_core::{CloseReason, Identity, Negotiated, SessionError};
use http::HeaderMap;
use tokio::sync::Notify;

use super::observer::LinkObserver;
use super::policy::Standing;
use super::{AgentTunnel, Server};
use crate::grpc::{Call, MessageStream};
use crate::metadata::{header_values, insert, insert_secret};
use crate::net::PeerAddr;
use crate::runtime::Runtime;
use crate::tunnel::{MeasuredTunnel, Tunnel, lose_transport};

/// A call that was answered, and the tunnel that it carries.
pub(super) struct AcceptedCall {
    pub(super) agent_id: String,
    pub(super) tunnel: Arc<Tunnel<Link>>,
    pub(super) stream: MessageStream,
    /// Told when the tunnel is to end because it took no dial in time.
    pub(super) retired: Arc<Notify>,
}

/// What a new tunnel begins with.
struct Beginning {
    agent: AgentMetadata,
    peer: PeerAddr,
    identity: Identity,
    negotiated: Negotiated,
    /// The session that it is granted, and what tells its agent from others.
    session: Option<(SessionGrant, Vec<u8>)>,
}

/// Who the agent says it is.
pub(super) fn agent_metadata(call: &Call) -> Result<AgentMetadata, AgentMetadataError> {
    let metadata = call.metadata();
    AgentMetadata::parse(
        header_values(metadata, AGENT_ID),
        header_values(metadata, AGENT_IDENTIFIERS),
    )
}

impl<R: Runtime> Server<R> {
    /// What this server has beyond plain Konnectivity.
    fn extensions(&self) -> Extensions {
        if self.config.disable_extensions {
            return Extensions::NONE;
        }
        Extensions {
            resume: !self.config.link.session.timeout.is_zero(),
            ..Extensions::all(self.config.link.mux.receive_window_bytes)
        }
    }

    /// What every answer begins with: which server this is, and how many there are.
    fn introduction(&self) -> HeaderMap {
        let mut response = HeaderMap::new();
        insert(&mut response, SERVER_ID, &self.config.server_id);
        let count = self.config.server_count.to_string();
        insert(&mut response, SERVER_COUNT, &count);
        response
    }

    /// Tells somebody who is no agent what an agent of this metadata would be told, and ends the call: a probe never comes
    /// near the router.
    pub(super) fn answer_probe(&self, call: Call, probe: &AgentMetadata, peer: PeerAddr) {
        let offer = Extensions::parse(header_values(call.metadata(), EXTENSIONS));
        let accepted = self.extensions().accept(offer);
        let mut response = self.introduction();
        insert(&mut response, PROBE, "1");
        if !accepted.is_empty() {
            insert(&mut response, EXTENSIONS, &accepted.to_string());
        }
        tracing::info!(%peer, agent_id = probe.agent_id, "probe answered");
        // Who asked and has gone needs no answer.
        if let Ok(stream) = call.accept(response) {
            stream.finish(&Status::ok());
        }
    }

    /// Answers an agent's call; `None` when it was refused, or the agent has gone. `key` tells the
    /// agent from every other, `identity` is what it has proved to be.
    pub(super) fn accept_agent(
        self: &Arc<Self>,
        call: Call,
        agent: AgentMetadata,
        peer: PeerAddr,
        key: &[u8],
        identity: Identity,
    ) -> Option<AcceptedCall> {
        if let Err(refused) = self.admit(&identity, &agent, peer) {
            tracing::warn!(%peer, agent_id = agent.agent_id, %identity, error = %refused, "agent refused by the policy");
            self.audit_refused_agent(Some(&agent.agent_id), peer, "policy", &refused);
            call.reject(&Status::new(Code::PermissionDenied, refused.to_string()));
            return None;
        }
        let metadata = call.metadata();
        let anonymous = key.is_empty();
        // One certificate may serve several agents.
        let key = &[key, &[0], agent.agent_id.as_bytes()].concat();
        let mut response = self.introduction();
        let offers = ResumeOffer::parse_all(header_values(metadata, RESUME));
        let resumed = self.resume(&offers, peer, &agent.agent_id, key);
        if let Some((tunnel, answer, grant)) = resumed {
            insert(&mut response, RESUME, &answer.to_string());
            insert_secret(&mut response, SESSION, &grant.to_string());
            let Ok(stream) = call.accept(response) else {
                lose_transport(&self.runtime, &tunnel);
                return None;
            };
            if let Some(agent) = self.agents().tunnels.get_mut(&tunnel.id()) {
                agent.peer = peer;
            }
            tracing::info!(link = %tunnel.id(), %peer, agent_id = agent.agent_id, session = %grant.id, "tunnel resumed");
            self.audit_link(tunnel.id(), AgentChange::Resumed);
            return Some(AcceptedCall {
                agent_id: agent.agent_id,
                tunnel,
                stream,
                retired: Arc::default(),
            });
        }
        if !self.audit_admits() {
            let refused = "the server's audit log takes no records";
            tracing::warn!(%peer, agent_id = agent.agent_id, "agent refused: {refused}");
            self.audit_refused_agent(Some(&agent.agent_id), peer, "audit", &refused);
            call.reject(&Status::new(Code::Unavailable, refused));
            return None;
        }
        let started_anew =
            header_values(metadata, RESUME).any(|value| value == NO_SESSION.as_bytes());
        if started_anew && !anonymous {
            self.end_forsaken(key);
        }
        let offer = Extensions::parse(header_values(metadata, EXTENSIONS));
        let session = self.new_session();
        let mut ours = self.extensions();
        ours.resume &= session.is_some();
        let accepted = ours.accept(offer);
        if !accepted.is_empty() {
            insert(&mut response, EXTENSIONS, &accepted.to_string());
        }
        let session = session.filter(|_| accepted.resume);
        if let Some(grant) = &session {
            insert_secret(&mut response, SESSION, &grant.to_string());
        }
        let stream = match call.accept(response) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%peer, %error, "agent went away");
                return None;
            }
        };
        let negotiated = Negotiated::new(ours, offer);
        let beginning = Beginning {
            agent,
            peer,
            identity,
            negotiated,
            session: session.map(|grant| (grant, key.clone())),
        };
        Some(self.begin_tunnel(beginning, stream))
    }

    fn begin_tunnel(self: &Arc<Self>, beginning: Beginning, stream: MessageStream) -> AcceptedCall {
        let Beginning {
            agent,
            peer,
            identity,
            negotiated,
            session,
        } = beginning;
        let retired = Arc::new(Notify::new());
        let observer = LinkObserver {
            server: Arc::downgrade(self),
            metrics: Arc::clone(&self.metrics),
            agent_id: agent.agent_id.clone(),
            paused: Mutex::default(),
            retired: Arc::clone(&retired),
        };
        let first_dial = fastrand::i64(1..i64::MAX / 2);
        let mut machine = Link::new(self.config.link.clone(), negotiated, first_dial);
        machine.handle_established(self.runtime.now());
        let tunnel = Tunnel::new(self.new_link_id(), machine, observer);
        self.metrics
            .tunnel_began(MeasuredTunnel::new(&self.runtime, &tunnel));
        let name = identity.name();
        let agent_id = agent.agent_id.clone();
        let claimed = Arc::new(agent);
        self.connected(AgentTunnel {
            tunnel: Arc::clone(&tunnel),
            identity: Arc::new(identity),
            allowed: Arc::clone(&claimed),
            claimed,
            standing: Standing::default(),
            peer,
            since: self.runtime.now(),
        });
        if self.stop.is_draining() {
            tunnel.with(Link::drain);
        }
        let session = session.map(|(SessionGrant { id, token, .. }, key)| {
            self.agents().sessions.begin(tunnel.id(), key, id, token);
            tracing::field::display(id)
        });
        tracing::info!(
            link = %tunnel.id(), %peer, agent_id, identity = name,
            flow_control = negotiated.peer_window_bytes.is_some(), session, "agent connected"
        );
        AcceptedCall {
            agent_id,
            tunnel,
            stream,
            retired,
        }
    }

    /// Ends what waits for an agent that has started anew: its endpoint connections are gone.
    fn end_forsaken(&self, key: &[u8]) {
        let tunnels: Vec<_> = {
            let agents = self.agents();
            let links = agents.sessions.links_of(key);
            links
                .iter()
                .filter_map(|link| agents.tunnels.get(link))
                .map(|agent| Arc::clone(&agent.tunnel))
                .collect()
        };
        let now = self.runtime.now();
        for tunnel in tunnels {
            tunnel.with(|link| {
                if link.is_suspended() {
                    link.handle_ended(now, CloseReason::TunnelLost);
                }
            });
        }
    }

    /// `None` where there is no room for another session, or no randomness for its token.
    fn new_session(&self) -> Option<SessionGrant> {
        if !self.agents().sessions.has_room() {
            return None;
        }
        Some(SessionGrant {
            id: SessionId::new(self.random()?),
            token: SessionToken::new(self.random()?),
            timeout: self.config.link.session.timeout,
        })
    }

    fn random<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.runtime.fill_random(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Goes on with the first of the offered sessions that is the agent's own.
    fn resume(
        &self,
        offers: &[ResumeOffer],
        peer: PeerAddr,
        agent_id: &str,
        key: &[u8],
    ) -> Option<(Arc<Tunnel<Link>>, ResumeAnswer, SessionGrant)> {
        if self.config.disable_extensions {
            return None;
        }
        let refused = |offer: &ResumeOffer, reason: ResumeRefused| {
            self.metrics.resume_refused(reason);
            if reason == ResumeRefused::Unknown {
                // What every other replica says, too.
                tracing::info!(%peer, agent_id, session = %offer.id, "tunnel not resumed: {reason}");
            } else {
                tracing::warn!(%peer, agent_id, session = %offer.id, "tunnel not resumed: {reason}");
            }
        };
        for offer in offers {
            let tunnel = {
                let agents = self.agents();
                match agents.sessions.check(offer, key) {
                    Ok(link) => agents
                        .tunnels
                        .get(&link)
                        .map(|agent| Arc::clone(&agent.tunnel)),
                    Err(reason) => {
                        drop(agents);
                        refused(offer, reason);
                        continue;
                    }
                }
            };
            let (Some(tunnel), Some(token)) = (tunnel, self.random()) else {
                refused(offer, ResumeRefused::Unknown);
                continue;
            };
            let now = self.runtime.now();
            match tunnel.replace_transport(|link| link.handle_resumed(now, offer.received)) {
                Err(error) => {
                    tracing::debug!(%peer, agent_id, %error, "offer to resume");
                    let reason = match error {
                        SessionError::Count { .. } => ResumeRefused::WrongCount,
                        // It ended since it was looked up.
                        SessionError::Ended => ResumeRefused::Unknown,
                    };
                    refused(offer, reason);
                }
                Ok(received) => {
                    let fresh = SessionToken::new(token);
                    let token = self.agents().sessions.renew(offer, fresh);
                    self.metrics.resumed();
                    let id = offer.id;
                    let timeout = self.config.link.session.timeout;
                    let grant = SessionGrant { id, token, timeout };
                    return Some((tunnel, ResumeAnswer { id, received }, grant));
                }
            }
        }
        None
    }
}
