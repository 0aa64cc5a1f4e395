//! One stream of a link: its two halves and its timers.

use std::time::{Duration, Instant};

use super::receive::ReceiveHalf;
use super::schedule::Turn;
use super::send::SendHalf;
use crate::ids::{ConnectId, StreamId};

/// A stream of a link; `state` is what the link's role knows of it.
#[derive(Debug)]
pub(crate) struct Stream<T> {
    pub(super) id: StreamId,
    pub(super) connect_id: Option<ConnectId>,
    pub(crate) send: SendHalf,
    pub(crate) receive: ReceiveHalf,
    pub(super) turn: Turn,
    /// The deadline of what the role waits for: a dial, a close.
    pub(super) deadline: Option<Instant>,
    /// Every byte that moves puts the role's deadline off by this much.
    pub(super) patience: Option<Duration>,
    /// The deadline of a reader that stands in everyone's way.
    pub(super) slow_deadline: Option<Instant>,
    /// The stream stands in the queue of grants.
    pub(super) grant_queued: bool,
    /// The stream stands in the queue of wake-ups.
    pub(super) wake_queued: bool,
    pub(crate) state: T,
}

impl<T> Stream<T> {
    pub(super) fn new(id: StreamId, state: T) -> Self {
        Self {
            id,
            connect_id: None,
            send: SendHalf::default(),
            receive: ReceiveHalf::default(),
            turn: Turn::default(),
            deadline: None,
            patience: None,
            slow_deadline: None,
            grant_queued: false,
            wake_queued: false,
            state,
        }
    }

    /// Its id on the wire, once there is one.
    pub(crate) fn connect_id(&self) -> Option<ConnectId> {
        self.connect_id
    }
}

/// Payload bytes that wait in the queues of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedBytes {
    /// From the local source, for the tunnel.
    pub outgoing: usize,
    /// From the tunnel, for the local reader.
    pub incoming: usize,
}

/// What a stream's deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StreamTimer {
    /// Set by the link's role: a dial or a close that takes too long.
    Role,
    /// The reader of a full stream took nothing for `slow_stream_timeout`.
    SlowReader,
}
