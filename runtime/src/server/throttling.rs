//! Dials and bytes over a limit: who waits is woken when it is his turn.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use dialback_core::server::DialError;
use dialback_core::throttle::{
    Admission, Dialling, Direction, Refusal, Throttle, ThrottleConfig, Ticket, WaiterId,
};
use tokio::sync::Notify;

use crate::metrics::{ServerMetrics, ThrottleResult};
use crate::runtime::Runtime;
use crate::timer::Timer;

/// The throttle of a server, and those who wait in it.
#[derive(Debug)]
pub(super) struct Throttling<R: Runtime> {
    runtime: R,
    metrics: Arc<ServerMetrics>,
    state: Mutex<State>,
    /// Told when a stream has ended, or other limits hold: somebody's turn may have come.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    throttle: Throttle,
    wakers: BTreeMap<WaiterId, Waker>,
    /// A task decides about those who wait.
    driven: bool,
}

impl<R: Runtime> Throttling<R> {
    pub(super) fn new(
        runtime: R,
        metrics: Arc<ServerMetrics>,
        config: ThrottleConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            runtime,
            metrics,
            state: Mutex::new(State {
                throttle: Throttle::new(config),
                wakers: BTreeMap::new(),
                driven: false,
            }),
            changed: Notify::new(),
        })
    }

    /// Other limits from now on.
    pub(super) fn reconfigure(&self, config: ThrottleConfig) {
        self.state()
            .throttle
            .reconfigure(self.runtime.now(), config);
        self.changed.notify_one();
    }

    /// Asks for a dial.
    pub(super) fn admit(self: &Arc<Self>, dialling: Dialling) -> Waiting<R> {
        let mut state = self.state();
        let now = self.runtime.now();
        let decided = match state.throttle.dial(now, dialling) {
            Admission::Admitted(ticket) => Ok(ticket),
            Admission::Refused(refusal) => Err(refusal),
            Admission::Waits(id) => {
                self.metrics.throttled(ThrottleResult::Waited);
                self.metrics.throttle_waiting(state.throttle.waiting());
                if !std::mem::replace(&mut state.driven, true) {
                    drop(state);
                    let throttling = Arc::clone(self);
                    self.runtime.spawn(async move { throttling.drive().await });
                }
                return Waiting {
                    throttling: Arc::clone(self),
                    state: WaitingState::Waits(id),
                };
            }
        };
        Waiting {
            throttling: Arc::clone(self),
            state: WaitingState::Decided(decided),
        }
    }

    /// Whether an agent may get another dial.
    pub(super) fn agent_refusal(&self, agent: &str) -> Option<DialError> {
        let now = self.runtime.now();
        let refusal = self.state().throttle.agent_refusal(now, agent)?;
        Some(dial_error(refusal))
    }

    /// Decides about those who wait, until nobody does.
    async fn drive(self: Arc<Self>) {
        loop {
            let timeout = {
                let mut state = self.state();
                let now = self.runtime.now();
                for id in state.throttle.poll(now) {
                    if let Some(waker) = state.wakers.remove(&id) {
                        waker.wake();
                    }
                }
                self.metrics.throttle_waiting(state.throttle.waiting());
                if state.throttle.waiting() == 0 {
                    state.driven = false;
                    return;
                }
                state.throttle.poll_timeout(now)
            };
            let sleeping = async {
                match timeout {
                    Some(timeout) => self.runtime.sleep_until(timeout).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleeping => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A dial that waits for its turn, or does not have to. Dropped, it is given up.
#[derive(Debug)]
pub(super) struct Waiting<R: Runtime> {
    throttling: Arc<Throttling<R>>,
    state: WaitingState,
}

#[derive(Debug)]
enum WaitingState {
    Waits(WaiterId),
    Decided(Result<Ticket, Refusal>),
    Told,
}

impl<R: Runtime> Waiting<R> {
    /// Ready with the leave to dial, or with why there is none. Not to be polled again then.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Admitted<R>, DialError>> {
        if let WaitingState::Waits(id) = self.state {
            let mut state = self.throttling.state();
            match state.throttle.take_decision(id) {
                Some(decision) => {
                    state.wakers.remove(&id);
                    drop(state);
                    self.state = WaitingState::Decided(decision);
                }
                None => {
                    state.wakers.insert(id, cx.waker().clone());
                    return Poll::Pending;
                }
            }
        }
        match std::mem::replace(&mut self.state, WaitingState::Told) {
            WaitingState::Decided(Ok(ticket)) => {
                let throttling = Arc::clone(&self.throttling);
                Poll::Ready(Ok(Admitted::new(throttling, ticket)))
            }
            WaitingState::Decided(Err(refusal)) => {
                self.throttling.metrics.throttled(ThrottleResult::Refused);
                Poll::Ready(Err(dial_error(refusal)))
            }
            WaitingState::Waits(_) | WaitingState::Told => Poll::Pending,
        }
    }
}

impl<R: Runtime> Drop for Waiting<R> {
    fn drop(&mut self) {
        let mut state = self.throttling.state();
        match std::mem::replace(&mut self.state, WaitingState::Told) {
            WaitingState::Waits(id) => {
                state.wakers.remove(&id);
                state.throttle.give_up(id);
            }
            WaitingState::Decided(Ok(ticket)) => state.throttle.release(ticket),
            WaitingState::Decided(Err(_)) | WaitingState::Told => return,
        }
        let waiting = state.throttle.waiting();
        drop(state);
        self.throttling.metrics.throttle_waiting(waiting);
        self.throttling.changed.notify_one();
    }
}

/// The leave to dial, for as long as the stream goes on; where bytes are limited too, they wait here.
#[derive(Debug)]
pub(super) struct Admitted<R: Runtime> {
    throttling: Arc<Throttling<R>>,
    ticket: Ticket,
    timers: [Timer<R>; 2],
}

impl<R: Runtime> Admitted<R> {
    fn new(throttling: Arc<Throttling<R>>, ticket: Ticket) -> Self {
        let timer = || Timer::new(throttling.runtime.clone());
        Self {
            timers: [timer(), timer()],
            throttling,
            ticket,
        }
    }

    /// The dial is given to this agent.
    pub(super) fn take_agent(&mut self, agent: &str) {
        let now = self.throttling.runtime.now();
        let mut state = self.throttling.state();
        state.throttle.take_agent(now, agent, &mut self.ticket);
    }

    /// So many bytes have passed.
    pub(super) fn pass(&mut self, direction: Direction, bytes: usize) {
        if self.ticket.is_shaped() {
            let now = self.throttling.runtime.now();
            let mut state = self.throttling.state();
            state.throttle.pass(now, &mut self.ticket, direction, bytes);
        }
    }

    /// Whether no more bytes may pass for now; then the task is woken when they may.
    pub(super) fn holds(&mut self, cx: &mut Context<'_>, direction: Direction) -> bool {
        if !self.ticket.is_shaped() {
            return false;
        }
        let now = self.throttling.runtime.now();
        let until = self.ticket.waits_until(now, direction);
        let timer = &mut self.timers[direction as usize];
        timer.set(until);
        until.is_some() && timer.poll(cx).is_pending()
    }
}

impl<R: Runtime> Drop for Admitted<R> {
    fn drop(&mut self) {
        let mut state = self.throttling.state();
        state.throttle.release(std::mem::take(&mut self.ticket));
        if state.driven {
            self.throttling.changed.notify_one();
        }
    }
}

fn dial_error(refusal: Refusal) -> DialError {
    DialError::Throttled {
        limit: refusal.what,
        retry_after: refusal.retry_after,
    }
}
