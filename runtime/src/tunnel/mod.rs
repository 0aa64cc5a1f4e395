//! One tunnel as its tasks share it: the machine, and who is to be woken.
//!
//! The task of the gRPC stream drives packets ([`driver`]); each stream's own task moves bytes between its
//! socket and the machine ([`pump`]). They meet in a short-held lock; nothing is awaited under it.

mod driver;
mod pump;
mod read_buffer;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use dialback_core::wire::Status;
use dialback_core::{LinkId, Packet, PacketKind, StreamId};

pub(crate) use driver::{TunnelDriver, TunnelEnd};
pub(crate) use pump::{Port, PortOutput, Pump, PumpEnd};
pub(crate) use read_buffer::poll_read;

/// What both ends' links have in common, for the code that is written once.
pub(crate) trait Machine: fmt::Debug + Send + 'static {
    type Event: Send;

    fn handle_packet(&mut self, now: Instant, packet: Packet);
    fn handle_down(&mut self, now: Instant);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_transmit(&mut self, now: Instant) -> Option<Packet>;
    fn has_transmit(&self) -> bool;
    fn wants_read(&self) -> bool;
    fn poll_wake(&mut self) -> Option<StreamId>;
    fn poll_event(&mut self) -> Option<Self::Event>;
}

macro_rules! machine {
    ($link:ty, $event:ty) => {
        impl Machine for $link {
            type Event = $event;

            fn handle_packet(&mut self, now: Instant, packet: Packet) {
                Self::handle_packet(self, now, packet);
            }
            fn handle_down(&mut self, now: Instant) {
                Self::handle_down(self, now);
            }
            fn handle_timeout(&mut self, now: Instant) {
                Self::handle_timeout(self, now);
            }
            fn poll_timeout(&self) -> Option<Instant> {
                Self::poll_timeout(self)
            }
            fn poll_transmit(&mut self, now: Instant) -> Option<Packet> {
                Self::poll_transmit(self, now)
            }
            fn has_transmit(&self) -> bool {
                Self::has_transmit(self)
            }
            fn wants_read(&self) -> bool {
                Self::wants_read(self)
            }
            fn poll_wake(&mut self) -> Option<StreamId> {
                Self::poll_wake(self)
            }
            fn poll_event(&mut self) -> Option<$event> {
                Self::poll_event(self)
            }
        }
    };
}

machine!(
    dialback_core::server::Link,
    dialback_core::server::LinkEvent
);
machine!(dialback_core::agent::Link, dialback_core::agent::LinkEvent);

/// What happens with a machine's events: metrics, logs, dials.
pub(crate) trait Observer<M: Machine>: fmt::Debug + Send + Sync + 'static {
    /// Called outside the lock.
    fn observe(&self, tunnel: &Arc<Tunnel<M>>, event: M::Event);

    /// A packet came from the peer.
    fn received(&self, kind: PacketKind);

    /// A packet is handed to the transport.
    fn sent(&self, kind: PacketKind);

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

struct Inner<M> {
    machine: M,
    driver: Option<Parked>,
    streams: HashMap<StreamId, Waker>,
}

/// The driver while it waits.
struct Parked {
    waker: Waker,
    /// The transport is full: it wakes the driver itself, something to send is no news.
    blocked: bool,
    /// The machine wants no packet now: the driver is to be told when that changes.
    not_reading: bool,
    /// The deadline that the driver's timer is set to.
    armed: Option<Instant>,
    /// The tunnel is down: only its deadlines are waited for, and that there is none is news.
    last_timers: bool,
}

impl<M: Machine> fmt::Debug for Tunnel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Wakers and events that one input produced, delivered after the lock is released.
struct Aftermath<E> {
    wakers: Vec<Waker>,
    events: Vec<E>,
}

impl<M: Machine> Tunnel<M> {
    pub(crate) fn new(id: LinkId, machine: M, observer: impl Observer<M>) -> Arc<Self> {
        let inner = Inner {
            machine,
            driver: None,
            streams: HashMap::new(),
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
        waker: &Waker,
        blocked: bool,
        not_reading: bool,
        armed: Option<Instant>,
    ) -> bool {
        self.lock().park(Parked {
            waker: waker.clone(),
            blocked,
            not_reading,
            armed,
            last_timers: false,
        })
    }

    /// As [`Tunnel::park`], for what is left of a tunnel that is down: woken when a deadline comes before
    /// `armed`, and when none is left.
    fn park_timers(&self, waker: &Waker, armed: Option<Instant>) -> bool {
        self.lock().park(Parked {
            waker: waker.clone(),
            blocked: true,
            not_reading: false,
            armed,
            last_timers: true,
        })
    }

    fn deliver(self: &Arc<Self>, aftermath: Aftermath<M::Event>) {
        for waker in aftermath.wakers {
            waker.wake();
        }
        for event in aftermath.events {
            self.observer.observe(self, event);
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
            || (!self.blocked && machine.has_transmit())
            || (self.not_reading && machine.wants_read())
    }
}

impl<M: Machine> Inner<M> {
    /// `false` when there is a reason not to sleep already.
    fn park(&mut self, parked: Parked) -> bool {
        if parked.is_due(&self.machine) {
            return false;
        }
        self.driver = Some(parked);
        true
    }

    fn drain(&mut self) -> Aftermath<M::Event> {
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
        let mut events = Vec::new();
        while let Some(event) = self.machine.poll_event() {
            events.push(event);
        }
        Aftermath { wakers, events }
    }
}
