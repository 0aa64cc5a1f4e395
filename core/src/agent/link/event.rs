//! What a link tells its driver and its endpoints.

use std::time::Duration;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::ids::{ConnectId, StreamId};
use crate::session::SessionError;

/// Something to do, to count or to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Dial the endpoint and report with `handle_dialled`.
    Dial {
        /// The stream that the connection will serve.
        stream: StreamId,
        /// A Go network name, unchecked.
        protocol: String,
        /// `host:port`, unchecked.
        address: String,
    },
    /// Nobody waits for this dial any more: stop it, answer nothing.
    DialAbandoned {
        /// The stream of the dial.
        stream: StreamId,
    },
    /// A connection is established.
    Opened {
        /// The stream.
        stream: StreamId,
        /// Its id on the wire.
        connect_id: Option<ConnectId>,
    },
    /// An established connection has ended.
    Closed {
        /// The stream.
        stream: StreamId,
        /// Its id on the wire.
        connect_id: Option<ConnectId>,
        /// From the answered dial to the end.
        lived: Duration,
        /// Why.
        reason: CloseReason,
    },
    /// The server is about to stop (`drain/1`): it serves its streams on, and another is to be looked for.
    ServerDraining,
    /// The transport was lost; the streams wait for another one.
    Suspended,
    /// Another transport carries the streams on.
    Resumed,
    /// The server answers nothing: the link has left its transport, which is to be ended.
    Silent,
    /// The server breaks the rules of the session, which is over: end the transport.
    Broken(SessionError),
    /// The link is over.
    Down,
}

/// What an endpoint's task is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointOutput {
    /// Write these bytes.
    Write(Bytes),
    /// Everything was written and nothing follows: shut the connection down for writing, and read on.
    Shutdown,
    /// Everything was written: close the connection in order.
    Close,
    /// Cut the connection so that the endpoint sees an error, not an orderly end.
    Abort,
}
