//! Why a dial failed, in the words of Go's `net` package.

use std::fmt;
use std::io;

use dialback_core::policy::Refused;

use crate::system_error::go_text;

/// What a text may repeat of what a peer asked for, in bytes; a DNS name is shorter, and nobody is to be
/// answered with a megabyte of their own.
const MAX_ECHO: usize = 512;

/// Why a dial failed.
///
/// Shown as Go shows its `net.OpError`, such as `dial tcp 127.0.0.1:1: connect: connection refused`: the text
/// travels to the frontend, where it decides the HTTP status and ends up in kube-apiserver's logs.
#[derive(Debug)]
pub struct DialFailure {
    network: String,
    address: Option<String>,
    cause: Cause,
}

/// The last part of the text.
#[derive(Debug)]
pub(super) enum Cause {
    /// The network is not one of TCP's.
    UnknownNetwork(String),
    /// No address was given.
    MissingAddress,
    /// An address or a part of it makes no sense.
    Address { address: String, why: &'static str },
    /// A name leads nowhere.
    LookUp {
        name: String,
        server: Option<String>,
        why: String,
    },
    /// The name was not resolved in time.
    LookUpTimedOut { name: String },
    /// The system refused.
    System {
        operation: &'static str,
        error: io::Error,
    },
    /// No answer in time.
    TimedOut,
    /// The agent's own rules are against it.
    Refused(Refused),
}

impl DialFailure {
    pub(super) fn new(network: &str, address: Option<String>, cause: Cause) -> Self {
        Self {
            network: shorten(network),
            address,
            cause,
        }
    }

    /// Whether it was a matter of time: the dial's own limit, or the system's.
    ///
    /// Go's `net.Error.Timeout`, which decides the `reason` of `endpoint_dial_failure_total`.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &self.cause {
            Cause::TimedOut | Cause::LookUpTimedOut { .. } => true,
            Cause::System { error, .. } => error.kind() == io::ErrorKind::TimedOut,
            Cause::UnknownNetwork(_)
            | Cause::MissingAddress
            | Cause::Address { .. }
            | Cause::LookUp { .. }
            | Cause::Refused(_) => false,
        }
    }
}

impl DialFailure {
    /// Whether the agent's own rules were against it.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self.cause, Cause::Refused(_))
    }
}

impl fmt::Display for DialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dial")?;
        if !self.network.is_empty() {
            write!(f, " {}", self.network)?;
        }
        if let Some(address) = &self.address {
            write!(f, " {address}")?;
        }
        write!(f, ": {}", self.cause)
    }
}

impl std::error::Error for DialFailure {}

impl Cause {
    pub(super) fn address(address: &str, why: &'static str) -> Self {
        Self::Address {
            address: shorten(address),
            why,
        }
    }

    pub(super) fn unknown_network(network: &str) -> Self {
        Self::UnknownNetwork(shorten(network))
    }

    pub(super) fn look_up(name: &str, server: Option<String>, why: &str) -> Self {
        Self::LookUp {
            name: shorten(name),
            server,
            why: why.to_owned(),
        }
    }

    pub(super) fn look_up_timed_out(name: &str) -> Self {
        Self::LookUpTimedOut {
            name: shorten(name),
        }
    }

    /// A failed connect; what only the making of a socket can meet is told apart from it, as in Go.
    pub(super) fn connect(error: io::Error) -> Self {
        let operation = match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::EAFNOSUPPORT) => "socket",
            _ => "connect",
        };
        Self::System { operation, error }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownNetwork(network) => write!(f, "unknown network {network}"),
            Self::MissingAddress => f.write_str("missing address"),
            Self::Address { address, why } => write!(f, "address {address}: {why}"),
            Self::LookUp {
                name,
                server: Some(server),
                why,
            } => write!(f, "lookup {name} on {server}: {why}"),
            Self::LookUp {
                name,
                server: None,
                why,
            } => write!(f, "lookup {name}: {why}"),
            Self::LookUpTimedOut { name } => write!(f, "lookup {name}: i/o timeout"),
            Self::System { operation, error } => write!(f, "{operation}: {}", go_text(error)),
            Self::TimedOut => f.write_str("i/o timeout"),
            Self::Refused(why) => why.fmt(f),
        }
    }
}

fn shorten(text: &str) -> String {
    if text.len() <= MAX_ECHO {
        return text.to_owned();
    }
    let end = (0..=MAX_ECHO)
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or_default();
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_sent_is_repeated_up_to_a_bound() {
        let cause = Cause::address(&"ü".repeat(300_000), "missing port in address");
        let text = DialFailure::new("tcp", None, cause).to_string();
        assert!(text.len() < 600, "{} bytes", text.len());
        assert!(text.ends_with("...: missing port in address"));
    }

    #[test]
    fn shortage_of_descriptors_is_not_the_endpoints_fault() {
        let error = io::Error::from_raw_os_error(libc::EMFILE);
        let failure = DialFailure::new("tcp", Some("10.0.0.1:1".into()), Cause::connect(error));
        assert_eq!(
            failure.to_string(),
            "dial tcp 10.0.0.1:1: socket: too many open files"
        );
    }

    #[test]
    fn the_systems_time_limit_counts_as_one() {
        let error = io::Error::from_raw_os_error(libc::ETIMEDOUT);
        let failure = DialFailure::new("tcp", Some("10.0.0.1:1".into()), Cause::connect(error));
        assert!(failure.is_timeout());
        assert_eq!(
            failure.to_string(),
            "dial tcp 10.0.0.1:1: connect: connection timed out"
        );
    }
}
