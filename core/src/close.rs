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
    /// The endpoint's connection broke, or the agent reported an error with the close, in its words.
    EndpointFailed(String),
    /// The tunnel to the agent (at the agent: to the server) was lost.
    TunnelLost,
    /// The tunnel was lost and not resumed in time.
    NotResumed,
    /// The tunnel was lost, and the server knows its session no more: it was restarted, or had given it up.
    SessionUnknown,
    /// That end of the tunnel ended it in order: its process stops, or it closed the tunnel.
    TunnelEnded(Initiator),
    /// Its reader took nothing for the slow-stream timeout while everyone else had to wait; noticed by that side.
    SlowReader(Initiator),
    /// The peer of that side sent more than its credit.
    WindowOverrun(Initiator),
    /// The peer of that side sent data behind its CLOSE_WRITE.
    DataBehindEnd(Initiator),
    /// The other side did not answer that one's close in time.
    CloseTimedOut(Initiator),
    /// The frontend used two connection ids on one Proxy stream.
    MismatchedIds,
    /// The agent let the endpoint's connection go before it ended.
    AgentGaveUp,
    /// The operator's policy changed and denies it now: for what reason.
    Denied(String),
    /// That side reset the stream for a reason that this version does not know, in its words.
    Other(Initiator, String),
}

impl CloseReason {
    /// Who ended the stream; where a tunnel was lost, the agent, since that is who comes back or does not.
    #[must_use]
    pub const fn initiator(&self) -> Initiator {
        match self {
            Self::FrontendClosed | Self::FrontendLost | Self::MismatchedIds => Initiator::Frontend,
            Self::EndpointClosed | Self::EndpointFailed(_) => Initiator::Endpoint,
            Self::TunnelLost | Self::NotResumed | Self::AgentGaveUp => Initiator::Agent,
            Self::SessionUnknown | Self::Denied(_) => Initiator::Server,
            Self::TunnelEnded(at)
            | Self::SlowReader(at)
            | Self::WindowOverrun(at)
            | Self::DataBehindEnd(at)
            | Self::CloseTimedOut(at)
            | Self::Other(at, _) => *at,
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
            Self::NotResumed => "not_resumed",
            Self::SessionUnknown => "session_unknown",
            Self::TunnelEnded(_) => "tunnel_ended",
            Self::SlowReader(_) => "slow_reader",
            Self::WindowOverrun(_) => "window_overrun",
            Self::DataBehindEnd(_) => "data_behind_end",
            Self::CloseTimedOut(_) => "close_timed_out",
            Self::MismatchedIds => "mismatched_ids",
            Self::AgentGaveUp => "agent_gave_up",
            Self::Denied(_) => "denied",
            Self::Other(..) => "other",
        }
    }

    /// True for an orderly end: all that was sent before it has been delivered.
    #[must_use]
    pub const fn is_orderly(&self) -> bool {
        matches!(self, Self::FrontendClosed | Self::EndpointClosed)
    }

    /// True when the tunnel went, whatever the stream itself was doing.
    #[must_use]
    pub const fn is_of_tunnel(&self) -> bool {
        matches!(
            self,
            Self::TunnelLost | Self::NotResumed | Self::SessionUnknown | Self::TunnelEnded(_)
        )
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

    /// The reason behind the `error` of a CLOSE_RSP, as [`Self::wire_error`] words it.
    ///
    /// Other words, such as those of a Konnectivity agent, are about the endpoint's connection. Which side noticed
    /// a slow reader or a breach is not on the wire: the server, who passes it on, stands for either.
    #[must_use]
    pub fn from_wire_error(text: &str) -> Self {
        if text.is_empty() {
            return Self::EndpointClosed;
        }
        let known = [
            Self::FrontendLost,
            Self::TunnelLost,
            Self::NotResumed,
            Self::SessionUnknown,
            Self::TunnelEnded(Initiator::Server),
            Self::TunnelEnded(Initiator::Agent),
            Self::SlowReader(Initiator::Server),
            Self::WindowOverrun(Initiator::Server),
            Self::DataBehindEnd(Initiator::Server),
            Self::CloseTimedOut(Initiator::Server),
            Self::MismatchedIds,
            Self::AgentGaveUp,
        ];
        if let Some(known) = known.into_iter().find(|known| known.to_string() == text) {
            return known;
        }
        let others = [Initiator::Server, Initiator::Agent].into_iter();
        let mut others = others.filter_map(|at| {
            let words = text
                .strip_prefix("reset by the ")?
                .strip_prefix(at.name())?;
            let words = words.strip_prefix(": ")?;
            Some(Self::Other(at, words.to_owned()))
        });
        let other = others.next();
        other.unwrap_or_else(|| Self::EndpointFailed(text.to_owned()))
    }

    /// The number of this reason in a `RESET` packet; zero where only its words say it.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::FrontendLost => 1,
            Self::EndpointFailed(_) => 2,
            Self::SlowReader(_) => 3,
            Self::WindowOverrun(_) => 4,
            Self::DataBehindEnd(_) => 8,
            Self::CloseTimedOut(_) => 5,
            Self::MismatchedIds => 6,
            Self::AgentGaveUp => 7,
            Self::FrontendClosed
            | Self::EndpointClosed
            | Self::TunnelLost
            | Self::NotResumed
            | Self::SessionUnknown
            | Self::TunnelEnded(_)
            | Self::Denied(_)
            | Self::Other(..) => 0,
        }
    }

    /// The reason in a `RESET` packet from `sender`, whose words are taken where the number is not known.
    #[must_use]
    pub fn from_reset(sender: Initiator, code: i32, text: String) -> Self {
        match code {
            1 => Self::FrontendLost,
            2 => Self::EndpointFailed(text),
            3 => Self::SlowReader(sender),
            4 => Self::WindowOverrun(sender),
            5 => Self::CloseTimedOut(sender),
            6 => Self::MismatchedIds,
            7 => Self::AgentGaveUp,
            8 => Self::DataBehindEnd(sender),
            _ => Self::Other(sender, text),
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
            Self::NotResumed => f.write_str("tunnel lost and not resumed in time"),
            Self::SessionUnknown => {
                f.write_str("tunnel lost, and the server knows its session no more")
            }
            Self::TunnelEnded(at) => write!(f, "tunnel ended by the {}", at.name()),
            Self::SlowReader(_) => f.write_str("reader took nothing for the slow-stream timeout"),
            Self::WindowOverrun(_) => f.write_str("peer sent more than its credit"),
            Self::DataBehindEnd(_) => f.write_str("peer sent data behind its end"),
            Self::CloseTimedOut(_) => f.write_str("close was not answered in time"),
            Self::MismatchedIds => f.write_str("mismatched connection IDs"),
            Self::AgentGaveUp => f.write_str("agent gave the connection up"),
            Self::Denied(reason) => write!(f, "denied by a changed policy: {reason}"),
            Self::Other(at, words) => write!(f, "reset by the {}: {words}", at.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reset_says_comes_back() {
        for at in [Initiator::Server, Initiator::Agent] {
            for reason in [
                CloseReason::FrontendLost,
                CloseReason::EndpointFailed("read: timed out".to_owned()),
                CloseReason::SlowReader(at),
                CloseReason::WindowOverrun(at),
                CloseReason::DataBehindEnd(at),
                CloseReason::CloseTimedOut(at),
                CloseReason::MismatchedIds,
                CloseReason::AgentGaveUp,
            ] {
                let text = reason.to_string();
                assert_eq!(CloseReason::from_reset(at, reason.code(), text), reason);
            }
            let newer = CloseReason::from_reset(at, 99, "policy changed".to_owned());
            assert_eq!(newer.initiator(), at);
            assert!(newer.to_string().ends_with(": policy changed"));
            assert_eq!(CloseReason::from_wire_error(&newer.wire_error()), newer);
        }
    }

    #[test]
    fn what_a_frontend_is_told_comes_back() {
        let server = Initiator::Server;
        for reason in [
            CloseReason::EndpointClosed,
            CloseReason::FrontendLost,
            CloseReason::TunnelLost,
            CloseReason::NotResumed,
            CloseReason::SessionUnknown,
            CloseReason::TunnelEnded(server),
            CloseReason::TunnelEnded(Initiator::Agent),
            CloseReason::SlowReader(server),
            CloseReason::WindowOverrun(server),
            CloseReason::DataBehindEnd(server),
            CloseReason::CloseTimedOut(server),
            CloseReason::MismatchedIds,
            CloseReason::AgentGaveUp,
            CloseReason::EndpointFailed("read tcp: connection reset by peer".to_owned()),
            CloseReason::EndpointFailed("reset by the server".to_owned()),
        ] {
            assert_eq!(CloseReason::from_wire_error(&reason.wire_error()), reason);
        }
    }
}
