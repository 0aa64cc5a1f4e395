//! One tunnel as its tasks share it: the machine, and who is to be woken.
//!
//! The task of the gRPC stream drives packets ([`driver`]); each stream's own task moves bytes between its
//! socket and the machine ([`pump`]). They meet in a short-held lock; nothing is awaited under it.

mod driver;
mod machine;
mod measured;
mod pump;
mod read_buffer;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use dialback_core::wire::Status;
use dialback_core::{LinkId, Packet, StreamId};

pub(crate) use driver::{TunnelDriver, TunnelEnd, lose_transport};
pub(crate) use machine::Machine;
pub(crate) use measured::MeasuredTunnel;
pub(crate) use pump::{Port, PortOutput, Pump, PumpEnd};
pub(crate) use read_buffer::poll_read;

/// What happens with a machine's events: metrics, logs, dials.
pub(crate) trait Observer<M: Machine>: fmt::Debug + Send + Sync + 'static {
    /// Called outside the lock, for one event at a time in the order in which the machine told them.
    fn observe(&self, tunnel: &Arc<Tunnel<M>>, event: M::Event);

    /// What the other end calls itself.
    fn peer_id(&self) -> &str;

    /// A packet came from the peer.
    fn received(&self, packet: &Packet);

    /// A packet is handed to the transport.
    fn sent(&self, packet: &Packet);

    /// Reading from the peer stops, because a stream's queue is full, or goes on.
    fn paused(&self, paused: bool);

    /// The stream from the peer failed.
    fn receive_failed(&self, status: &Status);
}

/// A machine shared between its tasks.
pub(crate) struct Tunnel<M: Machine> {
    id: LinkId,
    inner: Mutex<Inner<M>>,
    observer: Box<dyn Observer<M>>,
}

struct Inner<M: Machine> {
    machine: M,
    /// Which transport the machine is on, counted from 0; what comes of an earlier one does not reach it.
    transport: u64,
    driver: Option<Parked>,
    streams: HashMap<StreamId, Waker>,
    /// Told by the machine, not yet observed.
    events: VecDeque<M::Event>,
    /// Somebody observes events, and takes those that come meanwhile: two at it would mix their order up.
    observing: bool,
}

/// The driver while it waits.
struct Parked {
    transport: u64,
    waker: Waker,
    /// The transport is full: it wakes the driver itself, something to send is no news.
    blocked: bool,
    /// The machine wants no packet now: the driver is to be told when that changes.
    not_reading: bool,
    /// The deadline that the driver's timer is set to.
    armed: Option<Instant>,
    /// The tunnel has no transport: only its deadlines are waited for, and that there is none is news.
    last_timers: bool,
}

impl<M: Machine> fmt::Debug for Tunnel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What one input leads to, done after the lock is released.
struct Aftermath {
    wakers: Vec<Waker>,
    /// There are events, and nobody else is at them.
    observe: bool,
}

impl<M: Machine> Tunnel<M> {
    pub(crate) fn new(id: LinkId, machine: M, observer: impl Observer<M>) -> Arc<Self> {
        let inner = Inner {
            machine,
            transport: 0,
            driver: None,
            streams: HashMap::new(),
            events: VecDeque::new(),
            observing: false,
        };
        Arc::new(Self {
            id,
            inner: Mutex::new(inner),
            observer: Box::new(observer),
        })
    }

    pub(crate) fn id(&self) -> LinkId {
        self.id
    }

    /// What the other end calls itself.
    pub(crate) fn peer_id(&self) -> &str {
        self.observer.peer_id()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        // A panic elsewhere leaves the machine as consistent as it was between two inputs.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the machine an input, then wakes whom it concerns and observes what it tells.
    pub(crate) fn with<T>(self: &Arc<Self>, input: impl FnOnce(&mut M) -> T) -> T {
        let mut inner = self.lock();
        let result = input(&mut inner.machine);
        let aftermath = inner.drain();
        drop(inner);
        self.deliver(aftermath);
        result
    }

    /// As [`Tunnel::with`], for the driver of a transport: `None` once the tunnel has another.
    fn with_transport<T>(
        self: &Arc<Self>,
        transport: u64,
        input: impl FnOnce(&mut M) -> T,
    ) -> Option<T> {
        let mut inner = self.lock();
        if inner.transport != transport {
            return None;
        }
        let result = input(&mut inner.machine);
        let aftermath = inner.drain();
        drop(inner);
        self.deliver(aftermath);
        Some(result)
    }

    /// Puts the machine on another transport, if `resume` succeeds; the driver of the one before ends.
    pub(crate) fn replace_transport<T, E>(
        self: &Arc<Self>,
        resume: impl FnOnce(&mut M) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut inner = self.lock();
        let resumed = resume(&mut inner.machine);
        let replaced = if resumed.is_ok() {
            inner.transport += 1;
            inner.driver.take()
        } else {
            None
        };
        let mut aftermath = inner.drain();
        drop(inner);
        aftermath.wakers.extend(replaced.map(|parked| parked.waker));
        self.deliver(aftermath);
        resumed
    }

    fn transport(&self) -> u64 {
        self.lock().transport
    }

    /// As [`Tunnel::with`], for a stream's task: it is woken when the machine has news of the stream.
    pub(crate) fn with_stream<T>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        stream: StreamId,
        input: impl FnOnce(&mut M) -> T,
    ) -> T {
        let mut inner = self.lock();
        match inner.streams.get_mut(&stream) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                inner.streams.insert(stream, cx.waker().clone());
            }
        }
        let result = input(&mut inner.machine);
        let aftermath = inner.drain();
        drop(inner);
        self.deliver(aftermath);
        result
    }

    /// A stream's task needs no wake-ups any more.
    pub(crate) fn forget_stream(&self, stream: StreamId) {
        self.lock().streams.remove(&stream);
    }

    /// Wakes a stream's task, which then asks the machine anew.
    pub(crate) fn wake_stream(&self, stream: StreamId) {
        let waker = self.lock().streams.get(&stream).cloned();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The driver goes to sleep: it is woken when there is something to send (unless the transport is `blocked`)
    /// and when a deadline comes before `armed`. `false` when there is a reason not to sleep already.
    fn park(
        &self,
        transport: u64,
        waker: &Waker,
        blocked: bool,
        not_reading: bool,
        armed: Option<Instant>,
    ) -> bool {
        self.lock().park(Parked {
            transport,
            waker: waker.clone(),
            blocked,
            not_reading,
            armed,
            last_timers: false,
        })
    }

    /// As [`Tunnel::park`], for what is left of a tunnel without a transport: woken when a deadline comes before
    /// `armed`, and when none is left.
    fn park_timers(&self, transport: u64, waker: &Waker, armed: Option<Instant>) -> bool {
        self.lock().park(Parked {
            transport,
            waker: waker.clone(),
            blocked: true,
            not_reading: false,
            armed,
            last_timers: true,
        })
    }

    fn deliver(self: &Arc<Self>, aftermath: Aftermath) {
        for waker in aftermath.wakers {
            waker.wake();
        }
        if aftermath.observe {
            loop {
                let Some(event) = self.lock().next_event() else {
                    break;
                };
                self.observer.observe(self, event);
            }
        }
    }
}

impl Parked {
    fn is_due(&self, machine: &impl Machine) -> bool {
        let earlier = match (machine.poll_timeout(), self.armed) {
            (Some(at), Some(armed)) => at < armed,
            (Some(_), None) => true,
            (None, _) => self.last_timers,
        };
        earlier
            || (!self.last_timers && !machine.is_up())
            || (!self.blocked && machine.has_transmit())
            || (self.not_reading && machine.wants_read())
    }
}

impl<M: Machine> Inner<M> {
    /// `false` when there is a reason not to sleep already.
    fn park(&mut self, parked: Parked) -> bool {
        if parked.transport != self.transport || parked.is_due(&self.machine) {
            return false;
        }
        self.driver = Some(parked);
        true
    }

    fn drain(&mut self) -> Aftermath {
        let mut wakers = Vec::new();
        while let Some(stream) = self.machine.poll_wake() {
            wakers.extend(self.streams.get(&stream).cloned());
        }
        if self
            .driver
            .as_ref()
            .is_some_and(|parked| parked.is_due(&self.machine))
        {
            wakers.extend(self.driver.take().map(|parked| parked.waker));
        }
        while let Some(event) = self.machine.poll_event() {
            self.events.push_back(event);
        }
        let observe = !self.events.is_empty() && !self.observing;
        self.observing |= observe;
        Aftermath { wakers, observe }
    }

    /// For who observes: the next event, or `None` and somebody else's turn.
    fn next_event(&mut self) -> Option<M::Event> {
        let event = self.events.pop_front();
        self.observing = event.is_some();
        event
    }
}
