//! Agents' calls that wait until their tokens have been looked at.

use std::fmt;
use std::task::{Context, Poll};
use std::time::Instant;

use dialback_core::wire::AgentMetadata;

use super::authentication::{AgentIdentity, AgentRefused, Authentication};
use crate::grpc::Call;
use crate::metrics::Counted;
use crate::runtime::Runtime;
use crate::timer::Timer;

/// A call whose token is being looked at; dropped, it refuses the call.
pub(super) struct PendingAgent<R: Runtime> {
    /// `None` once the answer is known.
    call: Option<AgentCall>,
    answer: Authentication,
    timer: Timer<R>,
}

/// A call and who its agent says it is.
pub(super) struct AgentCall {
    pub(super) call: Call,
    pub(super) agent: AgentMetadata,
    pub(super) open: Counted,
}

impl<R: Runtime> PendingAgent<R> {
    /// Waits for the answer until `deadline`.
    pub(super) fn new(
        runtime: &R,
        call: AgentCall,
        answer: Authentication,
        deadline: Instant,
    ) -> Self {
        let mut timer = Timer::new(runtime.clone());
        timer.set(Some(deadline));
        Self {
            call: Some(call),
            answer,
            timer,
        }
    }

    /// Ready with the call and the answer; without a call when its agent has given it up. Not to be polled again.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answered>> {
        let Some(pending) = &mut self.call else {
            return Poll::Ready(None);
        };
        if pending.call.poll_reset(cx).is_ready() {
            self.call = None;
            return Poll::Ready(None);
        }
        let answer = match self.answer.as_mut().poll(cx) {
            Poll::Ready(answer) => answer,
            Poll::Pending if self.timer.poll(cx).is_ready() => Err(AgentRefused::TimedOut),
            Poll::Pending => return Poll::Pending,
        };
        Poll::Ready(self.call.take().map(|call| (call, answer)))
    }
}

/// A call and whose it is, or why it is refused.
pub(super) type Answered = (AgentCall, Result<AgentIdentity, AgentRefused>);

impl<R: Runtime> fmt::Debug for PendingAgent<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAgent")
            .field("answered", &self.call.is_none())
            .finish_non_exhaustive()
    }
}
