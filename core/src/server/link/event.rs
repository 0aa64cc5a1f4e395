//! What a link tells its driver beside packets.

use std::net::SocketAddr;
use std::time::Duration;

use crate::close::CloseReason;
use crate::ids::{ConnectId, StreamId};
use crate::server::dial::DialFailure;
use crate::session::SessionError;

/// Something to count, to log or to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A dial is pending from now on.
    DialStarted,
    /// A pending dial is pending no more, whatever came of it.
    DialEnded,
    /// A dial failed, or an answer came that nobody waits for.
    DialFailed(DialFailure),
    /// A dial succeeded and the stream is established.
    Opened {
        /// The stream.
        stream: StreamId,
        /// Its id towards the agent and the frontend.
        connect_id: ConnectId,
        /// Where the agent connected to, if it told ([`Link::dialled_address`](super::Link::dialled_address)).
        address: Option<SocketAddr>,
        /// From the dial to its answer.
        took: Duration,
    },
    /// An established stream has ended.
    Closed {
        /// The stream.
        stream: StreamId,
        /// Its id towards the agent and the frontend.
        connect_id: Option<ConnectId>,
        /// From the answer to the end.
        lived: Duration,
        /// Why.
        reason: CloseReason,
    },
    /// The agent announced its end: no new dials where another agent can serve them.
    Draining,
    /// The transport was lost; the streams wait for another one.
    Suspended,
    /// Another transport carries the streams on.
    Resumed,
    /// The agent has used the new transport: it knows what it was told with the resumption.
    ResumptionConfirmed {
        /// Which resumption that was, counted from one; for [`Sessions::confirm`](crate::server::Sessions::confirm).
        resumption: u64,
    },
    /// The agent takes or answers nothing: the link has left its transport, which is to be ended.
    Silent,
    /// The agent breaks the rules of the session, which is over: end the transport.
    Broken(SessionError),
    /// The link is over, for this reason.
    Down(CloseReason),
    /// The tunnel did not take a dial in time: choose it no more and end its Connect call with status OK.
    Retired,
}
