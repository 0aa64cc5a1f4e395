//! What can come of a dial and of a connection.

use thiserror::Error;

use crate::ids::DialId;

/// Why a dial did not lead to a connection; texts as in the reference.
///
/// Source: Konnectivity client, `konnectivity-client/pkg/client/client.go`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The agent, or the server in its place, reported an error, in its words.
    #[error("{0}")]
    Refused(String),
    /// The dial was ended without an answer (`DIAL_CLS`).
    #[error("dial closed")]
    Closed,
    /// Nobody answered within the dial timeout.
    #[error("dial timeout, backstop")]
    TimedOut,
    /// The caller gave the dial up.
    #[error("dial timeout, context")]
    Cancelled,
    /// The tunnel ended before the answer.
    #[error("tunnel closed")]
    TunnelClosed(#[source] TunnelLoss),
    /// A tunnel for one connection was asked for a second.
    #[error("single-use dialer already dialed")]
    AlreadyDialled,
    /// The Proxy stream for the dial could not be opened; the transport's words.
    #[error("{0}")]
    StreamSetup(String),
    /// The tunnel had ended before the dial.
    #[error("tunnel is closed")]
    AlreadyClosed,
    /// The dial could not be sent; the transport's words.
    #[error("{0}")]
    SendFailed(String),
    /// Something other than `tcp` was asked for.
    #[error("protocol not supported")]
    ProtocolNotSupported,
    /// The dial was answered without an error and without a connection id: the connection can't be used.
    #[error("dial answered without a connection id")]
    MissingConnectId,
}

impl DialError {
    /// The `reason` that the failure counts under, as the reference's `GetDialFailureReason` tells it.
    #[must_use]
    pub const fn reason(&self) -> DialFailure {
        match self {
            Self::Refused(_) => DialFailure::Endpoint,
            Self::Closed => DialFailure::DialClosed,
            Self::TimedOut => DialFailure::Timeout,
            Self::Cancelled => DialFailure::Context,
            Self::TunnelClosed(_) => DialFailure::TunnelClosed,
            Self::AlreadyDialled => DialFailure::TunnelStarted,
            Self::StreamSetup(_) => DialFailure::StreamSetup,
            Self::AlreadyClosed
            | Self::SendFailed(_)
            | Self::ProtocolNotSupported
            | Self::MissingConnectId => DialFailure::Unknown,
        }
    }
}

/// The `reason` label of `dial_failure_total` (`konnectivity-client/pkg/client/metrics`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialFailure {
    /// None of the others.
    Unknown,
    /// The endpoint could not be reached, or the server had no agent for it.
    Endpoint,
    /// The dial was ended without an answer.
    DialClosed,
    /// No answer came in time.
    Timeout,
    /// The caller gave up.
    Context,
    /// The tunnel ended first.
    TunnelClosed,
    /// The tunnel was used before.
    TunnelStarted,
    /// No stream could be opened.
    StreamSetup,
}

impl DialFailure {
    /// The label value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Endpoint => "endpoint",
            Self::DialClosed => "dialclosed",
            Self::Timeout => "timeout",
            Self::Context => "context",
            Self::TunnelClosed => "tunnelclosed",
            Self::TunnelStarted => "tunnelstarted",
            Self::StreamSetup => "streamsetup",
        }
    }
}

/// Why an established connection ended otherwise than in order, or can't be used any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The other side ended the connection with an error, in its words (`CLOSE_RSP`).
    #[error("{0}")]
    Failed(String),
    /// The tunnel ended under the connection; data may be missing.
    #[error("tunnel closed")]
    TunnelClosed(#[source] TunnelLoss),
    /// A close was not answered in time; what was written last may not have arrived.
    #[error("close timeout")]
    CloseTimedOut,
    /// The connection has been closed, by either side, and takes no more bytes.
    #[error("connection is closed")]
    Closed,
    /// The dial has failed, so there never was a connection.
    #[error("connection was not established")]
    NotEstablished,
}

/// What ended a tunnel before its connection was closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TunnelLoss {
    /// The server ended the Proxy stream in order, but without closing the connection on it.
    #[error("proxy stream ended by the server")]
    StreamEnded,
    /// The Proxy stream or its transport broke; the status or error in words.
    #[error("proxy stream failed: {0}")]
    StreamFailed(String),
    /// The server gave up the dial of a connection that was established (`DIAL_CLS`).
    #[error("established dial was closed by the server")]
    DialClosed,
    /// The server answered a dial that nobody waits for.
    #[error("unexpected answer to {0}")]
    UnexpectedAnswer(DialId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_labels_are_those_of_the_reference() {
        let text = |text: &str| text.to_owned();
        let table = [
            (
                DialError::Refused(text("dial tcp 10.0.0.1:1: connect: connection refused")),
                "dial tcp 10.0.0.1:1: connect: connection refused",
                "endpoint",
            ),
            (DialError::Closed, "dial closed", "dialclosed"),
            (DialError::TimedOut, "dial timeout, backstop", "timeout"),
            (DialError::Cancelled, "dial timeout, context", "context"),
            (
                DialError::TunnelClosed(TunnelLoss::StreamEnded),
                "tunnel closed",
                "tunnelclosed",
            ),
            (
                DialError::AlreadyDialled,
                "single-use dialer already dialed",
                "tunnelstarted",
            ),
            (
                DialError::StreamSetup(text("no transport")),
                "no transport",
                "streamsetup",
            ),
            (DialError::AlreadyClosed, "tunnel is closed", "unknown"),
            (
                DialError::SendFailed(text("broken pipe")),
                "broken pipe",
                "unknown",
            ),
            (
                DialError::ProtocolNotSupported,
                "protocol not supported",
                "unknown",
            ),
        ];
        for (error, text, label) in table {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.reason().label(), label, "{error:?}");
        }
        let closed = ConnectionError::TunnelClosed(TunnelLoss::StreamEnded);
        assert_eq!(closed.to_string(), "tunnel closed");
        assert_eq!(ConnectionError::CloseTimedOut.to_string(), "close timeout");
    }
}
