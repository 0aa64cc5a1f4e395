//! The operator's policy at work: at a dial, when an agent connects, and when the policy changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dialback_core::policy::{
    Admitted, Agent, ClaimRefused, Denied, Destination, Dial, Mode, Policy, TenantId,
};
use dialback_core::server::DialError;
use dialback_core::wire::AgentMetadata;
use dialback_core::{Identity, LinkId, StreamId};

use super::dialling::{DialRequest, Started};
use super::frontend::Frontend;
use super::{AgentTunnel, Agents, Server};
use crate::metrics::PolicyDecision;
use crate::net::PeerAddr;
use crate::runtime::Runtime;

/// What the policy in force says of an agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) tenant: Option<TenantId>,
    /// Whether it may serve, by what it claims; one that may not would be refused now.
    pub(super) admitted: bool,
}

/// Without a policy.
impl Default for Standing {
    fn default() -> Self {
        Self {
            tenant: None,
            admitted: true,
        }
    }
}

/// Who asked for what.
#[derive(Clone, Debug)]
struct Asked {
    frontend: Arc<Frontend>,
    address: String,
}

impl Asked {
    fn ask<'p>(&self, policy: &'p Policy) -> Dial<'p> {
        policy.dial(&self.frontend.identity, &Destination::parse(&self.address))
    }
}

/// A dial, and the policy that judges it.
#[derive(Clone, Debug)]
pub(super) struct PolicedDial {
    asked: Asked,
    policy: Arc<Policy>,
}

impl PolicedDial {
    pub(super) fn ask(&self) -> Dial<'_> {
        self.asked.ask(&self.policy)
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn is_enforced(&self) -> bool {
        self.policy.mode() == Mode::Enforce
    }
}

/// Streams that began under a policy, until they end.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicedStreams(Arc<Mutex<BTreeMap<StreamKey, Asked>>>);

type StreamKey = (LinkId, StreamId);

impl PolicedStreams {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that a changed policy may end; dropped, it is forgotten.
#[derive(Debug)]
pub(crate) struct Policed {
    streams: PolicedStreams,
    key: StreamKey,
}

impl Drop for Policed {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.key);
    }
}

impl<R: Runtime> Server<R> {
    /// Puts a policy in force.
    ///
    /// Streams that it denies are cut on both sides, those excepted that began when there was no policy. Agents that it
    /// would refuse get no dials any more; what others claim counts as far as it allows. In [`Mode::Audit`] nothing of this
    /// happens.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        let denied = {
            let mut agents = self.agents();
            agents.policy = Some(Arc::clone(&policy));
            agents.judge_all();
            let streams = self.policed.lock();
            let streams = streams.iter().filter_map(|(&(link, stream), asked)| {
                let denied = agents.denied(&asked.ask(&policy), link)?;
                let tunnel = Arc::clone(&agents.tunnels.get(&link)?.tunnel);
                Some((tunnel, stream, denied.to_string(), asked.clone()))
            });
            match policy.mode() {
                Mode::Enforce => streams.collect(),
                Mode::Audit => Vec::new(),
            }
        };
        {
            let agents = self.agents();
            self.report_backends(&agents);
        }
        self.metrics
            .keep_tenants(|tenant| policy.has_tenant(tenant));
        self.metrics.policy_in_force();
        let now = self.runtime.now();
        for (tunnel, stream, reason, asked) in denied {
            let (peer, frontend) = (asked.frontend.peer, &asked.frontend.identity);
            tracing::info!(
                %peer, %frontend, address = asked.address, link = %tunnel.id(), %stream, reason,
                "stream cut by a changed policy"
            );
            self.metrics.policy_cut_stream();
            tunnel.with(|link| link.handle_denied(now, stream, &reason));
        }
    }

    /// A dial is denied. Counted when it is for the first time that an agent is looked for.
    pub(super) fn denied(&self, denied: &Denied<'_>, tried: &[LinkId]) -> DialError {
        if tried.is_empty() {
            self.metrics.policy_decision(PolicyDecision::Deny);
        }
        DialError::Denied {
            reason: denied.to_string(),
        }
    }

    /// A dial goes on; in mode audit this may be although it would have been denied.
    pub(super) fn allowed(
        &self,
        dial: &PolicedDial,
        denied: Option<&Denied<'_>>,
        tried: &[LinkId],
    ) {
        if !tried.is_empty() {
            return;
        }
        let Some(denied) = denied else {
            return self.metrics.policy_decision(PolicyDecision::Allow);
        };
        let (peer, frontend) = (dial.asked.frontend.peer, &dial.asked.frontend.identity);
        tracing::warn!(
            %peer, %frontend, address = dial.asked.address, reason = %denied,
            "policy in mode audit: the dial would have been denied"
        );
        self.metrics.policy_decision(PolicyDecision::AuditDeny);
    }

    /// Has changes of the policy judge a stream that has just begun.
    ///
    /// # Errors
    /// When the policy has changed since the dial was judged, and denies it now; the stream is given up then.
    pub(super) fn police(
        &self,
        started: &mut Started,
        allowed: PolicedDial,
    ) -> Result<(), DialError> {
        let PolicedDial { asked, policy } = allowed;
        let key = (started.tunnel.id(), started.stream);
        self.policed.lock().insert(key, asked.clone());
        started.policed = Some(Policed {
            streams: self.policed.clone(),
            key,
        });
        let denied = {
            let agents = self.agents();
            let now = agents.policy.as_ref();
            let changed = now.filter(|now| !Arc::ptr_eq(now, &policy));
            let enforced = changed.filter(|policy| policy.mode() == Mode::Enforce);
            let denied = enforced.and_then(|policy| agents.denied(&asked.ask(policy), key.0));
            denied.map(|denied| denied.to_string())
        };
        let Some(reason) = denied else {
            return Ok(());
        };
        started.give_up(self.runtime.now());
        Err(DialError::Denied { reason })
    }

    /// Whether an agent may serve, by what it claims.
    pub(super) fn admit(
        &self,
        identity: &Identity,
        claimed: &AgentMetadata,
        peer: PeerAddr,
    ) -> Result<(), ClaimRefused> {
        let Some(policy) = self.agents().policy.clone() else {
            return Ok(());
        };
        let audits = policy.mode() == Mode::Audit;
        match policy.admit(identity, claimed) {
            Ok(Admitted { dropped, .. }) => {
                if !dropped.is_empty() {
                    tracing::warn!(
                        %peer, agent_id = claimed.agent_id, %identity, claims = dropped.join(" "), audits,
                        "an agent claims what the policy does not allow"
                    );
                    self.metrics.policy_dropped_claims(dropped.len());
                }
                Ok(())
            }
            Err(refused) => {
                self.metrics.policy_refused_agent();
                if audits {
                    tracing::warn!(
                        %peer, agent_id = claimed.agent_id, %identity, error = %refused,
                        "policy in mode audit: the agent would have been refused"
                    );
                    return Ok(());
                }
                Err(refused)
            }
        }
    }
}

impl Agents {
    pub(super) fn connect(&mut self, mut agent: AgentTunnel) {
        let link = agent.tunnel.id();
        let (standing, metadata) = self.judged(&agent);
        agent.standing = standing;
        agent.allowed = Arc::new(metadata.clone());
        self.not_admitted += usize::from(!standing.admitted);
        self.tunnels.insert(link, agent);
        self.router.agent_connected(link, &metadata);
    }

    pub(super) fn disconnect(&mut self, link: LinkId) -> Option<AgentTunnel> {
        let removed = self.tunnels.remove(&link);
        let was_admitted = removed.as_ref().is_none_or(|agent| agent.standing.admitted);
        self.not_admitted -= usize::from(!was_admitted);
        self.router.agent_disconnected(link);
        removed
    }

    /// What the policy says of an agent, and what of its claims it may keep.
    fn judged(&self, agent: &AgentTunnel) -> (Standing, AgentMetadata) {
        let claimed = AgentMetadata::clone(&agent.claimed);
        let Some(policy) = &self.policy else {
            return (Standing::default(), claimed);
        };
        let tenant = policy.tenant_of_agent(&agent.identity);
        let admitted = policy.admit(&agent.identity, &claimed);
        match (policy.mode(), admitted) {
            (Mode::Enforce, Ok(Admitted { metadata, .. })) => {
                let admitted = true;
                (Standing { tenant, admitted }, metadata)
            }
            (mode, admitted) => {
                let admitted = mode == Mode::Audit || admitted.is_ok();
                (Standing { tenant, admitted }, claimed)
            }
        }
    }

    /// After the policy has changed.
    fn judge_all(&mut self) {
        let links: Vec<_> = self.tunnels.keys().copied().collect();
        self.not_admitted = 0;
        for link in links {
            let Some(agent) = self.tunnels.get(&link) else {
                continue;
            };
            let (standing, metadata) = self.judged(agent);
            self.not_admitted += usize::from(!standing.admitted);
            if let Some(agent) = self.tunnels.get_mut(&link) {
                agent.standing = standing;
                agent.allowed = Arc::new(metadata.clone());
            }
            self.router.agent_claims(link, &metadata);
        }
    }

    /// The tenant of an agent, as the policy calls it.
    pub(super) fn tenant_name(&self, agent: &AgentTunnel) -> Option<&str> {
        self.policy.as_ref()?.tenant_name(agent.standing.tenant?)
    }

    /// What judges a dial, if anything does.
    pub(super) fn policed<R: Runtime>(&self, request: &DialRequest<R>) -> Option<PolicedDial> {
        let policy = Arc::clone(self.policy.as_ref()?);
        let asked = Asked {
            frontend: Arc::clone(&request.frontend),
            address: request.address.clone(),
        };
        Some(PolicedDial { asked, policy })
    }

    /// Whether the policy has nothing against any of the agents, so that none needs to be looked at.
    pub(super) fn all_may_serve(&self, dial: &Dial<'_>) -> bool {
        dial.any_agent() && self.not_admitted == 0
    }

    /// Why this agent may not serve a dial, if it may not.
    pub(super) fn denied<'p>(&self, dial: &Dial<'p>, link: LinkId) -> Option<Denied<'p>> {
        if let Some(denied) = dial.refusal() {
            return Some(denied);
        }
        let agent = self.tunnels.get(&link)?;
        if !agent.standing.admitted {
            return Some(Denied::Claims);
        }
        let judged = dial.judge(Agent {
            identity: &agent.identity,
            claimed: &agent.allowed,
            tenant: agent.standing.tenant,
        });
        judged.err()
    }
}
