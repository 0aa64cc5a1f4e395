//! What can come of a dial, and what each side is told.

use std::fmt;
use std::time::Duration;

use crate::close::Initiator;
use crate::ids::ConnectId;

/// The answer to a dial that nobody could send or nobody answered in time
/// (Konnectivity server, `pkg/server/server.go`).
const TIMED_OUT: &str = "timed out waiting for backend dial";
/// What a dial gets whose agent went away, in grpc-go's words.
const AGENT_LOST: &str = "rpc error: code = Canceled desc = context canceled";

/// Why a dial did not lead to a connection.
///
/// An outcome, nobody's fault: it is told to the frontend, as `DIAL_RSP` or as an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialError {
    /// No agent serves the destination.
    NoAgent,
    /// The tunnel to the chosen agent took no packet within the dial timeout.
    SendTimedOut,
    /// The agent did not answer within the dial timeout.
    TimedOut,
    /// The tunnel to the chosen agent was lost before the answer.
    AgentLost,
    /// The agent reported an error, in its words.
    Refused(String),
    /// The agent ended the dial without an answer (`DIAL_CLS`).
    ClosedByAgent,
    /// The agent answered with a connection id that it may not use.
    InvalidAnswer,
    /// The link carries as many streams as it may.
    TooManyStreams {
        /// The bound that was met, in streams.
        limit: usize,
    },
    /// As many dials wait for the agent's answer as may.
    TooManyDials {
        /// The bound that was met, in dials.
        limit: usize,
    },
    /// The operator does not allow it.
    Denied {
        /// Which rule says so, and why.
        reason: String,
    },
    /// It is over a limit that the operator has set, and has waited for as long as it may.
    Throttled {
        /// Which limit it is.
        limit: String,
        /// After how long another attempt may have a chance.
        retry_after: Duration,
    },
    /// It could not be recorded, and the operator wants nothing that is not.
    AuditBlocked,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAgent => f.write_str("No agent available"),
            Self::SendTimedOut | Self::TimedOut => f.write_str(TIMED_OUT),
            Self::AgentLost => f.write_str(AGENT_LOST),
            Self::Refused(error) => f.write_str(error),
            Self::ClosedByAgent => f.write_str("dial closed by the agent"),
            Self::InvalidAnswer => {
                f.write_str("agent answered the dial with an unusable connection id")
            }
            Self::TooManyStreams { limit } => {
                write!(f, "agent tunnel is at its limit of {limit} streams")
            }
            Self::TooManyDials { limit } => {
                write!(
                    f,
                    "agent tunnel is at its limit of {limit} unanswered dials"
                )
            }
            Self::Denied { reason } => write!(f, "dial denied: {reason}"),
            Self::Throttled { limit, retry_after } => {
                let seconds = retry_after_seconds(*retry_after);
                write!(f, "dial throttled: over {limit}, try again in {seconds} s")
            }
            Self::AuditBlocked => {
                f.write_str("dial refused: the server's audit log takes no records")
            }
        }
    }
}

impl std::error::Error for DialError {}

/// A time to wait as HTTP's `Retry-After` has it (RFC 9110, section 10.2.3): whole seconds, never too few.
pub(crate) fn retry_after_seconds(retry_after: Duration) -> u64 {
    let more = u64::from(retry_after.subsec_nanos() > 0);
    retry_after.as_secs().saturating_add(more).max(1)
}

/// The `reason` label of `dial_failure_count` (Konnectivity server, `pkg/server/metrics`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialFailure {
    /// No agent could be chosen.
    NoAgent,
    /// The agent answered with an error.
    ErrorResponse,
    /// The agent answered a dial that nobody waits for.
    UnrecognizedResponse,
    /// A good answer could not be handed to the frontend.
    SendResponse,
    /// The dial could not be sent, or the agent closed it or went away.
    BackendClose,
    /// The dial timeout passed.
    BackendDialTimeout,
    /// The frontend gave the dial up.
    FrontendClose,
    /// The operator does not allow it: beyond the reference's values, and never without a policy.
    Denied,
    /// It was over a limit: beyond the reference's values, and never without limits.
    Throttled,
    /// It could not be recorded: beyond the reference's values, and never without `--audit-log-mode=strict`.
    AuditBlocked,
}

impl DialFailure {
    /// The label value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoAgent => "no_agent",
            Self::ErrorResponse => "error_response",
            Self::UnrecognizedResponse => "unrecognized_response",
            Self::SendResponse => "send_rsp",
            Self::BackendClose => "backend_close",
            Self::BackendDialTimeout => "backend_dial_timeout",
            Self::FrontendClose => "frontend_close",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::AuditBlocked => "audit_blocked",
        }
    }
}

impl DialError {
    /// How the failure counts in `dial_failure_count`.
    #[must_use]
    pub const fn failure(&self) -> DialFailure {
        match self {
            Self::NoAgent => DialFailure::NoAgent,
            Self::SendTimedOut | Self::TimedOut => DialFailure::BackendDialTimeout,
            Self::AgentLost
            | Self::ClosedByAgent
            | Self::TooManyStreams { .. }
            | Self::TooManyDials { .. } => DialFailure::BackendClose,
            Self::Refused(_) | Self::InvalidAnswer => DialFailure::ErrorResponse,
            Self::Denied { .. } => DialFailure::Denied,
            Self::Throttled { .. } => DialFailure::Throttled,
            Self::AuditBlocked => DialFailure::AuditBlocked,
        }
    }

    /// Whose word it was. What an agent says of an endpoint is the agent's, for who refused is not on the wire.
    #[must_use]
    pub const fn initiator(&self) -> Initiator {
        match self {
            Self::NoAgent
            | Self::TooManyStreams { .. }
            | Self::TooManyDials { .. }
            | Self::Denied { .. }
            | Self::Throttled { .. }
            | Self::AuditBlocked => Initiator::Server,
            Self::SendTimedOut
            | Self::TimedOut
            | Self::AgentLost
            | Self::Refused(_)
            | Self::ClosedByAgent
            | Self::InvalidAnswer => Initiator::Agent,
        }
    }
}

/// What the frontend of a stream is to be told next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamOutput {
    /// The dial succeeded.
    Dialled(ConnectId),
    /// The dial failed; the stream is gone.
    DialFailed(DialError),
    /// Bytes from the endpoint.
    Data(bytes::Bytes),
    /// The endpoint sends no more; the other direction goes on. Only for a frontend that allowed half-close.
    EndOfData,
    /// The stream ended, after all its data; it is gone.
    Closed(crate::close::CloseReason),
}
