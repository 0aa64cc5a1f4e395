//! A dial, from who asks for it to the stream on an agent's tunnel.

use std::cell::RefCell;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use dialback_core::policy::Dial;
use dialback_core::server::{
    Candidates, Consideration, DialError, Hedging, Link, RouteRequest, Selector, SelectorError,
};
use dialback_core::throttle::Dialling;
use dialback_core::wire::SELECT_AGENT;
use dialback_core::{CloseReason, DialId, LinkId, StreamId};

use super::audit::Trail;
use super::frontend::{Frontend, FrontendStream};
use super::policy::{Policed, PolicedDial};
use super::throttling::{Admitted, Waiting};
use super::{AgentTunnel, Agents, Server};
use crate::metrics::Limit;
use crate::runtime::Runtime;
use crate::tunnel::Tunnel;

/// How many links a dial may meet that went down since they were chosen.
const ROUTE_TRIES: usize = 3;

/// A dial on an agent's tunnel.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) tunnel: Arc<Tunnel<Link>>,
    pub(super) stream: StreamId,
    /// The server's name for the dial.
    pub(super) dial: Option<DialId>,
    /// Keeps the stream under the eyes of the policy, if there is one.
    pub(super) policed: Option<Policed>,
    /// Why a policy in mode audit would have denied it.
    pub(super) would_deny: Option<Box<str>>,
}

impl Started {
    /// Another agent was quicker, or the dial may not be: this one is told to give it up.
    pub(super) fn give_up(&self, now: Instant) {
        self.tunnel
            .with(|link| link.handle_dial_overtaken(now, self.stream));
        self.tunnel.forget_stream(self.stream);
    }
}

/// An agent for a dial, and what keeps the dial under the eyes of the policy, if there is one.
struct Chosen {
    agent: AgentTunnel,
    policed: Option<PolicedDial>,
    would_deny: Option<Box<str>>,
}

/// What a frontend asks for.
#[derive(Debug)]
pub(super) struct DialRequest<R: Runtime> {
    /// Who asks.
    pub(super) frontend: Arc<Frontend>,
    /// `tcp`, or whatever a gRPC frontend says.
    pub(super) protocol: String,
    /// `host:port`, as the frontend wrote it.
    pub(super) address: String,
    /// The labels that the frontend wants of the agent, as it wrote them. Nobody looks at them where `label` is not among
    /// the strategies.
    pub(super) selector: Option<String>,
    /// Follows it, where somebody wants to know.
    pub(super) trail: Option<Box<Trail<R>>>,
}

/// Which agents a dial may be given to.
struct Wish<'a, R: Runtime> {
    request: &'a DialRequest<R>,
    selector: Option<&'a Selector>,
    tried: &'a [LinkId],
    /// Says why, where an agent has as much as it may have.
    full: &'a RefCell<Option<DialError>>,
}

impl<R: Runtime> Server<R> {
    /// Asks for the leave to dial; `None` where nobody needs it, or will not get that far.
    ///
    /// # Errors
    /// [`DialError::AuditBlocked`].
    pub(super) fn wait_for_turn(
        &self,
        request: &DialRequest<R>,
    ) -> Result<Option<Waiting<R>>, DialError> {
        if self.audit_admits() {
            Ok(self.throttled(request))
        } else {
            Err(DialError::AuditBlocked)
        }
    }

    fn throttled(&self, request: &DialRequest<R>) -> Option<Waiting<R>> {
        let throttling = self.throttling.as_ref()?;
        let policed = self.agents().policed(request);
        let dial = policed.as_ref().map(PolicedDial::ask);
        let restricts = policed.as_ref().is_some_and(PolicedDial::is_enforced);
        if restricts && dial.as_ref().is_some_and(|dial| dial.refusal().is_some()) {
            return None;
        }
        let tenant = dial.as_ref().and_then(Dial::tenant);
        let policy = policed.as_ref().map(PolicedDial::policy);
        let tenant = policy
            .zip(tenant)
            .and_then(|(policy, tenant)| policy.tenant_name(tenant));
        let dialling = Dialling::new(&request.frontend.identity, tenant, &request.address);
        Some(throttling.admit(dialling))
    }

    /// Chooses an agent and starts a dial on its tunnel. What fails before that is counted and told here.
    pub(super) fn dial(
        self: &Arc<Self>,
        mut request: DialRequest<R>,
        mut admitted: Option<Admitted<R>>,
    ) -> Result<FrontendStream<R>, DialError> {
        match self.start_dial(&request, &[]) {
            Ok(mut started) => {
                if let Some(admitted) = &mut admitted {
                    admitted.take_agent(started.tunnel.peer_id());
                }
                if let Some(mut hedging) = self.hedging() {
                    hedging.dialled(self.runtime.now(), started.tunnel.id());
                }
                if let Some(trail) = &mut request.trail {
                    trail.would_be_denied(started.would_deny.take());
                }
                Ok(FrontendStream::new(self, started, request, admitted))
            }
            Err(error) => {
                self.dial_not_started(request, &error);
                Err(error)
            }
        }
    }

    pub(super) fn dial_not_started(&self, mut request: DialRequest<R>, error: &DialError) {
        if let Some(trail) = &mut request.trail {
            trail.failed(Some(error));
        }
        match error {
            DialError::TooManyStreams { .. } => self.metrics.limit_reached(Limit::StreamsPerAgent),
            DialError::TooManyDials { .. } => self.metrics.limit_reached(Limit::PendingDials),
            DialError::NoAgent
            | DialError::SendTimedOut
            | DialError::TimedOut
            | DialError::AgentLost
            | DialError::Refused(_)
            | DialError::ClosedByAgent
            | DialError::InvalidAnswer
            | DialError::Denied { .. }
            | DialError::Throttled { .. }
            | DialError::AuditBlocked => {}
        }
        self.metrics.dial_failed(error.failure());
        let (peer, address) = (request.frontend.peer, &request.address);
        tracing::info!(%peer, frontend = %request.frontend.identity, address, %error, "dial failed");
    }

    /// Starts a dial on the tunnel of an agent that is none of those it was given to before. Where dials may go to another
    /// agent, one that has no room is passed over.
    pub(super) fn start_dial(
        &self,
        request: &DialRequest<R>,
        tried: &[LinkId],
    ) -> Result<Started, DialError> {
        let selector = self.selector(request)?;
        let (mut tried, mut full) = (tried.to_vec(), None);
        for _ in 0..ROUTE_TRIES {
            let chosen = match self.choose(request, selector.as_ref(), &tried) {
                Ok(Some(chosen)) => chosen,
                Ok(None) => break,
                // Those that may serve are full.
                Err(denied) => return Err(full.unwrap_or(denied)),
            };
            let Chosen {
                agent,
                policed,
                would_deny,
            } = chosen;
            let (now, tunnel) = (self.runtime.now(), agent.tunnel);
            let (protocol, address) = (request.protocol.clone(), request.address.clone());
            let dialled = tunnel.with(|link| {
                let stream = link.dial(now, protocol, address)?;
                Ok((stream, link.dial_id(stream)))
            });
            match dialled {
                Ok((stream, dial)) => {
                    tracing::debug!(
                        peer = %request.frontend.peer, frontend = %request.frontend.identity,
                        address = request.address, link = %tunnel.id(), %stream,
                        agent = %agent.identity, "dial given to an agent"
                    );
                    let mut started = Started {
                        tunnel,
                        stream,
                        dial,
                        policed: None,
                        would_deny,
                    };
                    if let Some(allowed) = policed {
                        self.police(&mut started, allowed)?;
                    }
                    return Ok(started);
                }
                Err(DialError::AgentLost) => {
                    self.disconnected(tunnel.id(), CloseReason::TunnelLost);
                }
                Err(error) if self.hedging.is_some() => {
                    tried.push(tunnel.id());
                    full = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(full.unwrap_or(DialError::NoAgent))
    }

    /// What the frontend asks of the agent, where that counts.
    fn selector(&self, request: &DialRequest<R>) -> Result<Option<Selector>, DialError> {
        let Some(text) = request.selector.as_ref().filter(|_| self.by_label) else {
            return Ok(None);
        };
        let denied = |error: SelectorError| DialError::Denied {
            reason: format!("{SELECT_AGENT}: {error}"),
        };
        text.parse().map(Some).map_err(denied)
    }

    /// The agent for a dial, of those that the policy allows. Of two that will do it is the less loaded one.
    fn choose(
        &self,
        request: &DialRequest<R>,
        selector: Option<&Selector>,
        tried: &[LinkId],
    ) -> Result<Option<Chosen>, DialError> {
        let agents = self.agents();
        let policed = agents.policed(request);
        let dial = policed.as_ref().map(PolicedDial::ask);
        let restricts = policed.as_ref().is_some_and(PolicedDial::is_enforced);
        let enforced = dial.as_ref().filter(|_| restricts);
        if let Some(denied) = enforced.and_then(Dial::refusal) {
            return Err(self.denied(&denied, tried));
        }
        // Why an agent that could serve it has to be left alone.
        let full = RefCell::new(None);
        let find = |enforced| {
            let wish = Wish {
                request,
                selector,
                tried,
                full: &full,
            };
            self.candidates(&agents, wish, enforced)
        };
        let Some(found) = find(enforced) else {
            if let Some(full) = full.take() {
                return Err(full);
            }
            // Perhaps somebody could, and may not.
            let denied = enforced.and_then(|dial| agents.denied(dial, find(None)?.first));
            return denied.map_or(Ok(None), |denied| Err(self.denied(&denied, tried)));
        };
        let mut would_deny = None;
        if let (Some(policed), Some(dial)) = (&policed, &dial) {
            let denied = agents.denied(dial, found.first);
            self.allowed(policed, denied.as_ref(), tried);
            would_deny = denied.map(|denied| denied.to_string().into());
        }
        let agent = |link| agents.tunnels.get(&link).cloned();
        let Some(first) = agent(found.first) else {
            return Ok(None);
        };
        let second = found.second.and_then(agent);
        drop(dial);
        drop(agents);
        let agent = match second {
            Some(second) => self.less_loaded(first, second),
            None => first,
        };
        Ok(Some(Chosen {
            agent,
            policed,
            would_deny,
        }))
    }

    fn candidates(
        &self,
        agents: &Agents,
        wish: Wish<'_, R>,
        enforced: Option<&Dial<'_>>,
    ) -> Option<Candidates> {
        let Wish {
            request,
            selector,
            tried,
            full,
        } = wish;
        let restricted = enforced.filter(|dial| !agents.all_may_serve(dial));
        if restricted.is_none()
            && tried.is_empty()
            && self.hedging.is_none()
            && self.throttling.is_none()
            && agents.router.is_plain()
        {
            let link = agents.router.route(&request.address, fastrand::u64(..));
            return link.map(|first| Candidates {
                first,
                second: None,
            });
        }
        let (now, hedging) = (self.runtime.now(), self.hedging());
        agents.router.candidates(&RouteRequest {
            destination: &request.address,
            random: [fastrand::u64(..), fastrand::u64(..)],
            selector,
            consider: &|link| {
                let aside = |hedging: &MutexGuard<'_, Hedging>| hedging.is_set_aside(now, link);
                let denied = |dial: &Dial<'_>| agents.denied(dial, link).is_some();
                let agent = agents.tunnels.get(&link);
                if tried.contains(&link)
                    || restricted.is_some_and(denied)
                    || self.is_full(agent, full)
                {
                    Consideration::Never
                } else if hedging.as_ref().is_some_and(aside) {
                    Consideration::LastResort
                } else {
                    Consideration::Usual
                }
            },
        })
    }

    fn less_loaded(&self, first: AgentTunnel, second: AgentTunnel) -> AgentTunnel {
        let now = self.runtime.now();
        let pressure = |agent: &AgentTunnel| agent.tunnel.with(|link| link.pressure(now));
        if pressure(&second).compare(&pressure(&first)).is_lt() {
            second
        } else {
            first
        }
    }

    /// Whether an agent has as many dials or streams as it may; then `full` says so.
    fn is_full(&self, agent: Option<&AgentTunnel>, full: &RefCell<Option<DialError>>) -> bool {
        let throttling = self.throttling.as_ref().zip(agent);
        let refusal = throttling
            .and_then(|(throttling, agent)| throttling.agent_refusal(agent.tunnel.peer_id()));
        let is_full = refusal.is_some();
        if is_full {
            full.replace(refusal);
        }
        is_full
    }

    /// `None` where dials are left to one agent, as the reference does.
    pub(super) fn hedging(&self) -> Option<MutexGuard<'_, Hedging>> {
        let hedging = self.hedging.as_ref()?;
        Some(hedging.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
