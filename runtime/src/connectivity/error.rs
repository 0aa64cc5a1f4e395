//! What can go wrong between a configuration and a connection.

use std::io;
use std::path::PathBuf;

use dialback_core::client::{self, DialFailure as Reason};
use dialback_core::connectivity::ConfigError;
use dialback_core::wire::{Code, Status};

use crate::dial::DialFailure;
use crate::tls::TlsError;

/// There is no dialer to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectivityError {
    /// The configuration can't be read.
    #[error("unable to read connectivity configuration from {}: {error}", path.display())]
    File {
        /// Its file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificates of a service can't be used.
    #[error("connectivity service {name:?}: {error}")]
    Tls {
        /// The service.
        name: String,
        /// What is wrong.
        error: Box<TlsError>,
    },
    /// The configuration has no service of that name.
    #[error("unknown connectivity service {name:?}, configured are {}", known.join(", "))]
    UnknownService {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

/// Why a dial did not lead to a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// What was to be dialled is no `host:port`.
    #[error("{0:?} is not a host and port, such as 10.0.0.1:443")]
    InvalidAddress(String),
    /// The proxy server was not reached, or is none.
    #[error("proxy server {proxy} can't be reached: {error}")]
    ProxyUnreachable {
        /// Where it should be.
        proxy: String,
        /// What happened.
        error: ProxyError,
    },
    /// One of the two does not accept the other's certificate or credentials.
    #[error("proxy server {proxy}: authentication failed: {error}")]
    Authentication {
        /// Where the proxy server is.
        proxy: String,
        /// What happened.
        error: ProxyError,
    },
    /// The proxy server has no agent for the address.
    #[error("no agent to dial {address}: {text}")]
    NoAgent {
        /// What was dialled.
        address: String,
        /// The server's words.
        text: String,
    },
    /// The agent, or the system for a direct dial, could not connect.
    #[error("cannot dial {address}: {text}")]
    Refused {
        /// What was dialled.
        address: String,
        /// Its words.
        text: String,
    },
    /// Nobody answered in time: neither the endpoint, nor the agent, nor the server.
    #[error("cannot dial {address}: timed out: {text}")]
    TimedOut {
        /// What was dialled.
        address: String,
        /// Whose time ran out, in words.
        text: String,
    },
    /// There was no room for the connection at the server, the agent or the endpoint; try again later.
    #[error("cannot dial {address}: throttled: {text}")]
    Throttled {
        /// What was dialled.
        address: String,
        /// Their words.
        text: String,
    },
    /// The proxy server ended the dial without an answer, or went away during it.
    #[error("cannot dial {address}: the proxy server gave it up: {text}")]
    Abandoned {
        /// What was dialled.
        address: String,
        /// What is known of it.
        text: String,
    },
}

impl DialError {
    /// What an error reported by server or agent means; they have no codes, only words.
    pub(super) fn reported(address: &str, text: &str) -> Self {
        let words = text.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
        let (address, text) = (address.to_owned(), text.trim().to_owned());
        if has(&["no agent available"]) {
            Self::NoAgent { address, text }
        } else if has(&["timeout", "timed out", "deadline exceeded"]) {
            Self::TimedOut { address, text }
        } else if has(&["too many", "at its limit", "throttl"]) {
            Self::Throttled { address, text }
        } else {
            Self::Refused { address, text }
        }
    }

    /// What the end of a Proxy stream before the answer means.
    pub(super) fn status(proxy: &str, address: &str, status: Status) -> Self {
        let text = status.to_string();
        let address = address.to_owned();
        if matches!(status.code, Code::Unauthenticated | Code::PermissionDenied) {
            let proxy = proxy.to_owned();
            let error = ProxyError::Status(status);
            Self::Authentication { proxy, error }
        } else if status.code == Code::ResourceExhausted {
            Self::Throttled { address, text }
        } else if status.code == Code::DeadlineExceeded {
            Self::TimedOut { address, text }
        } else {
            Self::Abandoned { address, text }
        }
    }

    /// What the tunnel of a dial made of it. It counts under the tunnel's reason, as in Konnectivity's client:
    /// a time-out that the agent reports is the endpoint's failure there.
    pub(super) fn client(address: &str, error: &client::DialError) -> FailedDial {
        let text = error.to_string();
        let reason = error.reason();
        let error = match reason {
            Reason::Endpoint => Self::reported(address, &text),
            Reason::Timeout => Self::TimedOut {
                address: address.to_owned(),
                text,
            },
            Reason::Unknown
            | Reason::DialClosed
            | Reason::Context
            | Reason::TunnelClosed
            | Reason::TunnelStarted
            | Reason::StreamSetup => Self::Abandoned {
                address: address.to_owned(),
                text,
            },
        };
        FailedDial { error, reason }
    }

    pub(super) fn direct(address: &str, failure: &DialFailure) -> Self {
        let (address, text) = (address.to_owned(), failure.to_string());
        if failure.is_timeout() {
            Self::TimedOut { address, text }
        } else {
            Self::Refused { address, text }
        }
    }

    pub(super) fn proxy(proxy: &str, error: ProxyError) -> Self {
        let proxy = proxy.to_owned();
        if error.is_authentication() {
            Self::Authentication { proxy, error }
        } else {
            Self::ProxyUnreachable { proxy, error }
        }
    }

    /// The `reason` that a failure counts under in `dial_failure_total`, where no tunnel tells.
    const fn reason(&self) -> Reason {
        match self {
            Self::InvalidAddress(_) => Reason::Unknown,
            Self::ProxyUnreachable { .. } | Self::Authentication { .. } => Reason::StreamSetup,
            Self::NoAgent { .. } | Self::Refused { .. } | Self::Throttled { .. } => {
                Reason::Endpoint
            }
            Self::TimedOut { .. } => Reason::Timeout,
            Self::Abandoned { .. } => Reason::TunnelClosed,
        }
    }
}

/// A dial that failed, and what it counts under.
#[derive(Debug)]
pub(super) struct FailedDial {
    pub(super) error: DialError,
    pub(super) reason: Reason,
}

impl From<DialError> for FailedDial {
    fn from(error: DialError) -> Self {
        let reason = error.reason();
        Self { error, reason }
    }
}

/// Why a proxy server is not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// No TCP connection.
    #[error("{0}")]
    Dial(#[source] Box<DialFailure>),
    /// No connection to the Unix socket, or it broke.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake: {0}")]
    Tls(#[source] io::Error),
    /// The server does not speak HTTP/2 where gRPC is wanted.
    #[error("the server did not negotiate HTTP/2 (ALPN); is it in http-connect mode?")]
    Alpn,
    /// The HTTP/2 connection could not be set up, or ended.
    #[error("{0}")]
    Http2(String),
    /// The server does not speak HTTP/1.1 as it should.
    #[error("unexpected answer to CONNECT: {0}; is the server in grpc mode?")]
    Http(String),
    /// The server demands other credentials.
    #[error("the server answered {code}: {text}")]
    Credentials {
        /// The HTTP status.
        code: u16,
        /// Its words.
        text: String,
    },
    /// The server demands other credentials, in gRPC's words.
    #[error("{0}")]
    Status(#[source] Status),
    /// No connection in time.
    #[error("no connection within the dial timeout")]
    TimedOut,
}

impl ProxyError {
    fn is_authentication(&self) -> bool {
        match self {
            Self::Io(error) | Self::Tls(error) => {
                let inner = error
                    .get_ref()
                    .and_then(|e| e.downcast_ref::<rustls::Error>());
                inner.is_some_and(|error| {
                    matches!(
                        error,
                        rustls::Error::InvalidCertificate(_)
                            | rustls::Error::NoCertificatesPresented
                            | rustls::Error::AlertReceived(_)
                    )
                })
            }
            Self::Credentials { .. } | Self::Status(_) => true,
            // TLS 1.3 tells a client that its certificate is refused only after the handshake.
            Self::Http2(text) => text.contains("received fatal alert"),
            Self::Dial(_) | Self::Alpn | Self::Http(_) | Self::TimedOut => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use dialback_core::client::TunnelLoss;

    use super::*;

    fn kind(error: &DialError) -> &'static str {
        match error {
            DialError::InvalidAddress(_) => "address",
            DialError::ProxyUnreachable { .. } => "unreachable",
            DialError::Authentication { .. } => "authentication",
            DialError::NoAgent { .. } => "no agent",
            DialError::Refused { .. } => "refused",
            DialError::TimedOut { .. } => "timed out",
            DialError::Throttled { .. } => "throttled",
            DialError::Abandoned { .. } => "abandoned",
        }
    }

    /// Words of the reference and of ours; all of them count as the endpoint's.
    #[test]
    fn what_server_and_agent_report_is_sorted_by_its_words() {
        for (text, expected) in [
            ("No agent available", "no agent"),
            (
                "dial tcp 10.0.0.1:1: connect: connection refused",
                "refused",
            ),
            ("lookup web on 10.0.0.2:53: no such host", "refused"),
            ("dial tcp 10.0.0.1:1: i/o timeout", "timed out"),
            ("dial tcp: connect: connection timed out", "timed out"),
            ("context deadline exceeded", "timed out"),
            ("too many open files", "throttled"),
        ] {
            let failed = DialError::client("a:1", &client::DialError::Refused(text.to_owned()));
            assert_eq!(kind(&failed.error), expected, "{text}");
            assert_eq!(failed.reason, Reason::Endpoint, "{text}");
            assert!(failed.error.to_string().contains(text));
        }
    }

    #[test]
    fn what_a_tunnel_meets_counts_under_the_references_reasons() {
        let lost = client::DialError::TunnelClosed(TunnelLoss::StreamEnded);
        for (error, expected, label) in [
            (client::DialError::Closed, "abandoned", "dialclosed"),
            (client::DialError::TimedOut, "timed out", "timeout"),
            (lost, "abandoned", "tunnelclosed"),
            (client::DialError::MissingConnectId, "abandoned", "unknown"),
        ] {
            let failed = DialError::client("a:1", &error);
            assert_eq!(kind(&failed.error), expected, "{error:?}");
            assert_eq!(failed.reason.label(), label, "{error:?}");
        }
    }

    #[test]
    fn the_status_that_ends_a_proxy_stream_says_whose_fault_it_is() {
        for (code, expected) in [
            (Code::Unauthenticated, "authentication"),
            (Code::PermissionDenied, "authentication"),
            (Code::ResourceExhausted, "throttled"),
            (Code::DeadlineExceeded, "timed out"),
            (Code::Unavailable, "abandoned"),
        ] {
            let error = DialError::status("p", "a:1", Status::new(code, "why".to_owned()));
            assert_eq!(kind(&error), expected, "{code:?}");
        }
    }
}
