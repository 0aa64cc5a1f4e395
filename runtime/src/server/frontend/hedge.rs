//! A dial that more than one agent may answer.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use dialback_core::LinkId;
use dialback_core::server::{DialError, Link, StreamOutput};

use crate::metrics::HedgeEnd;
use crate::runtime::Runtime;
use crate::server::Server;
use crate::server::dialling::{DialRequest, Started};
use crate::timer::Timer;
use crate::tunnel::Tunnel;

/// The most agents that one dial is given to, one after the other.
const MOST_AGENTS: usize = 3;

/// A dial that was given to another agent.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) started: Started,
    since: Instant,
}

impl Leg {
    fn poll(&self, cx: &Context<'_>, now: Instant) -> Option<StreamOutput> {
        let Started { tunnel, stream, .. } = &self.started;
        tunnel.with_stream(cx, *stream, |link| link.poll_stream(now, *stream))
    }
}

/// A dial that is not decided, and what it takes to give it to another agent. Dropped, it gives up the second one.
#[derive(Debug)]
pub(super) struct Hedge<R: Runtime> {
    server: Arc<Server<R>>,
    request: DialRequest<R>,
    tried: Vec<LinkId>,
    second: Option<Leg>,
    timer: Timer<R>,
    first_since: Instant,
    half_closes: bool,
}

/// What came of a look at both agents.
pub(super) enum Decision {
    /// Nothing yet.
    Open,
    /// The first agent's word counts.
    First(StreamOutput),
    /// The other agent serves from now on, the first one is given up. `None` while its answer is still to come.
    Other(Leg, Option<StreamOutput>),
}

impl<R: Runtime> Hedge<R> {
    /// Watches a dial that was just given to an agent; `None` where that is all there is to it.
    pub(super) fn new(
        server: &Arc<Server<R>>,
        tunnel: &Arc<Tunnel<Link>>,
        request: DialRequest<R>,
    ) -> Option<Box<Self>> {
        let patience = server
            .hedging()?
            .patience(tunnel.with(|link| link.dial_patience()));
        let now = server.runtime.now();
        let mut timer = Timer::new(server.runtime.clone());
        timer.set(now.checked_add(patience));
        Some(Box::new(Self {
            server: Arc::clone(server),
            request,
            tried: vec![tunnel.id()],
            second: None,
            timer,
            first_since: now,
            half_closes: false,
        }))
    }

    pub(super) fn allow_half_close(&mut self) {
        self.half_closes = true;
    }

    /// Looks at the agents that the dial was given to; `first` is the one that it waits for.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        first: &Tunnel<Link>,
        output: Option<StreamOutput>,
    ) -> Decision {
        let now = self.server.runtime.now();
        match output {
            None => {}
            Some(StreamOutput::DialFailed(error)) if is_the_agents(&error) => {
                let next = self.second.take().or_else(|| self.dial_another(now));
                return match next {
                    None => Decision::First(StreamOutput::DialFailed(error)),
                    Some(leg) => {
                        self.first_since = leg.since;
                        let output = leg.poll(cx, now);
                        Decision::Other(leg, output)
                    }
                };
            }
            Some(output) => {
                self.answered(first.id(), now - self.first_since);
                return Decision::First(output);
            }
        }
        if self.timer.poll(cx).is_ready() && self.second.is_none() {
            self.second = self.hedge(now);
        }
        let Some(output) = self.second.as_ref().and_then(|leg| leg.poll(cx, now)) else {
            return Decision::Open;
        };
        let Some(leg) = self.second.take() else {
            return Decision::Open;
        };
        if let StreamOutput::Dialled(_) = output {
            self.answered(leg.started.tunnel.id(), now - leg.since);
            self.overtaken(now, first);
            self.server.metrics.hedge_ended(HedgeEnd::Won);
            Decision::Other(leg, Some(output))
        } else {
            // It may be that only this agent can't reach the endpoint.
            leg.started.tunnel.forget_stream(leg.started.stream);
            self.server.metrics.hedge_ended(HedgeEnd::Failed);
            Decision::Open
        }
    }

    /// Gives the dial to a second agent, if that may be and there is one.
    fn hedge(&mut self, now: Instant) -> Option<Leg> {
        if !self.server.hedging()?.take_spare() {
            self.server.metrics.hedge_ended(HedgeEnd::NotSpared);
            return None;
        }
        let leg = self.dial_another(now)?;
        let tunnel = &leg.started.tunnel;
        tracing::debug!(
            address = self.request.address, link = %tunnel.id(), agent_id = tunnel.peer_id(),
            "dial not answered in time, given to another agent as well"
        );
        Some(leg)
    }

    fn dial_another(&mut self, now: Instant) -> Option<Leg> {
        if self.tried.len() >= MOST_AGENTS {
            return None;
        }
        let started = self.server.start_dial(&self.request, &self.tried).ok()?;
        self.tried.push(started.tunnel.id());
        if self.half_closes {
            let stream = started.stream;
            started.tunnel.with(|link| link.allow_half_close(stream));
        }
        self.server.metrics.hedge_started();
        Some(Leg {
            started,
            since: now,
        })
    }

    fn answered(&self, link: LinkId, took: std::time::Duration) {
        if let Some(mut hedging) = self.server.hedging() {
            hedging.answered(link, took);
            self.server.metrics.set_aside(hedging.set_aside_count());
        }
    }

    fn overtaken(&self, now: Instant, first: &Tunnel<Link>) {
        if let Some(mut hedging) = self.server.hedging() {
            if hedging.overtaken(now, first.id()) {
                tracing::warn!(
                    link = %first.id(), agent_id = first.peer_id(),
                    "an agent leaves dials unanswered that others answer: it gets none for a while"
                );
            }
            self.server.metrics.set_aside(hedging.set_aside_count());
        }
    }
}

impl<R: Runtime> Drop for Hedge<R> {
    fn drop(&mut self) {
        if let Some(leg) = self.second.take() {
            leg.started.give_up(self.server.runtime.now());
            self.server.metrics.hedge_ended(HedgeEnd::Lost);
        }
    }
}

/// Whether a dial failed for the agent's sake, so that another may do better. What an agent reports of the endpoint counts.
fn is_the_agents(error: &DialError) -> bool {
    match error {
        DialError::SendTimedOut
        | DialError::TimedOut
        | DialError::AgentLost
        | DialError::ClosedByAgent
        | DialError::InvalidAnswer
        | DialError::TooManyStreams { .. }
        | DialError::TooManyDials { .. } => true,
        DialError::NoAgent
        | DialError::Refused(_)
        | DialError::Denied { .. }
        | DialError::Throttled { .. }
        | DialError::AuditBlocked => false,
    }
}
