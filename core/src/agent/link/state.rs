//! The states of one stream at the agent.

use std::time::Instant;

use crate::ids::{ConnectId, DialId};

/// What the agent knows of a stream beside its queues.
#[derive(Debug)]
pub(super) struct AgentStream {
    pub(super) phase: Phase,
    /// When the dial succeeded; before that, when it arrived.
    pub(super) opened: Instant,
    /// The endpoint's task has been told to end, or is gone.
    pub(super) endpoint_done: bool,
    /// The endpoint is to see an error.
    pub(super) cut: bool,
    /// How often the server asked to close the stream.
    pub(super) close_requests: u32,
    /// The frontend sends no more (CLOSE_WRITE).
    pub(super) frontend_ended: bool,
    /// The endpoint's task was told so.
    pub(super) shutdown_told: bool,
    /// The endpoint sends no more, and the stream goes on.
    pub(super) endpoint_ended: bool,
    /// Why the endpoint takes no more: what the frontend sent was not all delivered.
    pub(super) write_failed: Option<String>,
}

/// ```text
/// Dialing ──connected──▶ Open ──CLOSE_REQ, endpoint's end, both halves' ends, reset──▶ Closing ──CLOSE_RSP out, written out──▶ (gone)
///    └──failed, abandoned──▶ (gone)
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    Dialing { dial: DialId, connect_id: ConnectId },
    Open,
    Closing,
}

impl AgentStream {
    pub(super) fn new(now: Instant, dial: DialId, connect_id: ConnectId) -> Self {
        Self {
            phase: Phase::Dialing { dial, connect_id },
            opened: now,
            endpoint_done: false,
            cut: false,
            close_requests: 0,
            frontend_ended: false,
            shutdown_told: false,
            endpoint_ended: false,
            write_failed: None,
        }
    }
}
