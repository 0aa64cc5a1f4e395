//! One stream of a link: its two halves and its timers.

use std::time::Instant;

use super::receive::ReceiveHalf;
use super::send::SendHalf;
use crate::ids::{ConnectId, StreamId};

/// A stream of a link; `state` is what the link's role knows of it.
#[derive(Debug)]
pub(crate) struct Stream<T> {
    pub(super) id: StreamId,
    pub(super) connect_id: Option<ConnectId>,
    pub(crate) send: SendHalf,
    pub(crate) receive: ReceiveHalf,
    /// The deadline of what the role waits for: a dial, a close.
    pub(super) deadline: Option<Instant>,
    /// The deadline of a reader that stands in everyone's way.
    pub(super) slow_deadline: Option<Instant>,
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
            deadline: None,
            slow_deadline: None,
            wake_queued: false,
            state,
        }
    }

    pub(crate) fn connect_id(&self) -> Option<ConnectId> {
        self.connect_id
    }
}

/// What a stream's deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StreamTimer {
    /// Set by the link's role: a dial or a close that takes too long.
    Role,
    /// The reader of a full stream took nothing for `slow_stream_timeout`.
    SlowReader,
}
