//! Why a stream ended, and who ended it.

use std::fmt;

/// Who ended a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Initiator {
    /// The dialling side, such as kube-apiserver.
    Frontend,
    /// The proxy server.
    Server,
    /// The proxy agent.
    Agent,
    /// The TCP peer that the agent dialled.
    Endpoint,
}

impl Initiator {
    /// The word for labels and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Endpoint => "endpoint",
        }
    }
}

/// Why an established stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The frontend closed it.
    FrontendClosed,
    /// The frontend's connection broke before it closed the stream.
    FrontendLost,
    /// The endpoint closed it; everything it sent before was delivered.
    EndpointClosed,
    /// The agent reported an error with the close, in its words.
    EndpointFailed(String),
    /// The tunnel to the agent (at the agent: to the server) was lost.
    TunnelLost,
    /// Its reader took nothing for the slow-stream timeout while everyone else had to wait.
    SlowReader,
    /// The peer sent more than its credit.
    WindowOverrun,
    /// The other side did not answer a close in time.
    CloseTimedOut,
    /// The frontend used two connection ids on one Proxy stream.
    MismatchedIds,
}

impl CloseReason {
    /// Who ended the stream.
    #[must_use]
    pub const fn initiator(&self) -> Initiator {
        match self {
            Self::FrontendClosed | Self::FrontendLost | Self::MismatchedIds => Initiator::Frontend,
            Self::EndpointClosed | Self::EndpointFailed(_) => Initiator::Endpoint,
            Self::TunnelLost | Self::WindowOverrun => Initiator::Agent,
            Self::SlowReader | Self::CloseTimedOut => Initiator::Server,
        }
    }

    /// A short word for metric labels.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::FrontendClosed => "frontend_closed",
            Self::FrontendLost => "frontend_lost",
            Self::EndpointClosed => "endpoint_closed",
            Self::EndpointFailed(_) => "endpoint_failed",
            Self::TunnelLost => "tunnel_lost",
            Self::SlowReader => "slow_reader",
            Self::WindowOverrun => "window_overrun",
            Self::CloseTimedOut => "close_timed_out",
            Self::MismatchedIds => "mismatched_ids",
        }
    }

    /// True for an orderly end: all that was sent before it has been delivered.
    #[must_use]
    pub const fn is_orderly(&self) -> bool {
        matches!(self, Self::FrontendClosed | Self::EndpointClosed)
    }

    /// The `error` of the CLOSE_RSP that tells a frontend; empty for an orderly end.
    #[must_use]
    pub fn wire_error(&self) -> String {
        if self.is_orderly() {
            String::new()
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrontendClosed => f.write_str("closed by the frontend"),
            Self::FrontendLost => f.write_str("connection to the frontend lost"),
            Self::EndpointClosed => f.write_str("closed by the endpoint"),
            Self::EndpointFailed(error) => f.write_str(error),
            Self::TunnelLost => f.write_str("tunnel lost"),
            Self::SlowReader => f.write_str("reader took nothing for the slow-stream timeout"),
            Self::WindowOverrun => f.write_str("peer sent more than its credit"),
            Self::CloseTimedOut => f.write_str("close was not answered in time"),
            Self::MismatchedIds => f.write_str("mismatched connection IDs"),
        }
    }
}
