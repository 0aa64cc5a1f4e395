//! What can go wrong, and the exit code that says so.

use std::io;

use dialback_core::connectivity::RouteError;
use dialback_runtime::connectivity::{ConnectivityError, DialError};
use dialback_runtime::listen::ListenError;
use dialback_runtime::tls::TlsError;
use thiserror::Error;

use crate::tool::tls;

/// Why a client tool ended.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// Threads, signals or the terminal were refused.
    #[error("cannot prepare: {0}")]
    Prepare(#[source] io::Error),
    /// Flags that don't go together.
    #[error("{0}")]
    Usage(&'static str),
    /// The URL of the proxy server makes no sense.
    #[error("--url: {0}")]
    Url(#[source] RouteError),
    /// The configuration has no such service, or can't be read.
    #[error(transparent)]
    Connectivity(#[from] Box<ConnectivityError>),
    /// Certificates can't be used.
    #[error(transparent)]
    Tls(#[from] Box<TlsError>),
    /// The CA of the target can't be used.
    #[error("--target-ca: {0}")]
    TargetTls(#[source] tls::TlsError),
    /// A file can't be read.
    #[error("cannot read {file}: {error}")]
    File {
        /// Its name.
        file: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A local listener was refused.
    #[error(transparent)]
    Listen(#[from] Box<ListenError>),
    /// The same, for a socket that was bound.
    #[error("cannot listen: {0}")]
    Listener(#[source] io::Error),
    /// The endpoint was not reached.
    #[error(transparent)]
    Dial(#[from] Box<DialError>),
    /// The connection ended abnormally.
    #[error("connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The test client's, in the reference's words.
    #[error("{0}")]
    TestClient(String),
    /// Some of several attempts failed; each has been told.
    #[error("{failed} of {all} failed")]
    Some {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
        /// The last of them, which stands for all in the exit code.
        last: Box<Self>,
    },
}

impl ClientError {
    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Dial(error) => match **error {
                DialError::ProxyUnreachable { .. }
                | DialError::Authentication { .. }
                | DialError::Abandoned { .. } => 2,
                DialError::NoAgent { .. } | DialError::Refused { .. } => 3,
                DialError::TimedOut { .. } | DialError::Throttled { .. } => 4,
                DialError::InvalidAddress(_) | _ => 1,
            },
            Self::Broken(_) => 5,
            Self::Some { last, .. } => last.exit_code(),
            Self::Prepare(_)
            | Self::Usage(_)
            | Self::TestClient(_)
            | Self::Url(_)
            | Self::Connectivity(_)
            | Self::Tls(_)
            | Self::TargetTls(_)
            | Self::File { .. }
            | Self::Listen(_)
            | Self::Listener(_) => 1,
        }
    }
}
