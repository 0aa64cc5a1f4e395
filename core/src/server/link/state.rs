//! The states of one stream at the server.

use std::net::SocketAddr;
use std::time::Instant;

use crate::close::CloseReason;
use crate::ids::{ConnectId, DialId};
use crate::server::dial::{DialError, StreamOutput};

/// What the server knows of a stream beside its queues.
#[derive(Debug)]
pub(super) struct ServerStream {
    pub(super) phase: Phase,
    /// When the dial was queued.
    pub(super) started: Instant,
    /// When the agent's good answer came.
    pub(super) opened: Option<Instant>,
    /// Where the agent connected to, if it told. Boxed, since most streams of an idle server would carry its room
    /// for nothing.
    pub(super) dialled_address: Option<Box<SocketAddr>>,
    /// A frontend still asks for this stream.
    pub(super) attached: bool,
    /// Why the frontend's side asked for a close that the agent has not confirmed.
    pub(super) asked_to_close: Option<CloseReason>,
    /// Both sides can end one direction alone.
    pub(super) half_closes: bool,
    /// The agent was told that the frontend sends no more.
    pub(super) end_sent: bool,
    /// The endpoint sends no more.
    pub(super) endpoint_ended: bool,
    /// The frontend was told so.
    pub(super) end_told: bool,
}

/// ```text
/// Dialing ──answer──▶ Open ──CLOSE_RSP, loss, reset──▶ Ended ──taken by the frontend──▶ (gone)
///    └──────error, timeout, loss──────────────────────▶ Ended
/// ```
#[derive(Debug)]
pub(super) enum Phase {
    Dialing(Dialing),
    Open { answer_taken: bool },
    Ended(Ended),
}

/// A dial that the agent has not answered.
#[derive(Debug)]
pub(super) struct Dialing {
    pub(super) dial: DialId,
    /// `DIAL_REQ` was handed to the transport.
    pub(super) sent: bool,
}

/// A stream that the agent no longer knows.
#[derive(Debug)]
pub(super) struct Ended {
    /// A good answer that the frontend has not heard of yet.
    pub(super) untold_answer: Option<ConnectId>,
    /// The last word to the frontend.
    pub(super) output: StreamOutput,
}

impl ServerStream {
    pub(super) fn new(started: Instant, dial: DialId) -> Self {
        Self {
            phase: Phase::Dialing(Dialing { dial, sent: false }),
            started,
            opened: None,
            dialled_address: None,
            attached: true,
            asked_to_close: None,
            half_closes: false,
            end_sent: false,
            endpoint_ended: false,
            end_told: false,
        }
    }
}

impl Phase {
    pub(super) fn dial_failed(error: DialError) -> Self {
        Self::Ended(Ended {
            untold_answer: None,
            output: StreamOutput::DialFailed(error),
        })
    }

    pub(super) fn closed(untold_answer: Option<ConnectId>, reason: CloseReason) -> Self {
        Self::Ended(Ended {
            untold_answer,
            output: StreamOutput::Closed(reason),
        })
    }

    pub(super) fn is_dialing(&self) -> bool {
        matches!(self, Self::Dialing(_))
    }
}
