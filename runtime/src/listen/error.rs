//! Why a socket does not listen.

use std::io;

use crate::system_error::go_text;

/// A listener could not be set up; worded as in Go, since operators search for it:
/// `listen tcp 127.0.0.1:8091: bind: address already in use`.
#[derive(Debug, thiserror::Error)]
#[error("listen {network}{separator}{address}: {cause}", separator = if address.is_empty() { "" } else { " " })]
pub struct ListenError {
    /// `tcp` or `unix`.
    pub network: &'static str,
    /// What was to be listened on; empty when a host name did not lead to an address.
    pub address: String,
    /// What went wrong.
    pub cause: ListenCause,
}

/// What went wrong when a socket was to listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenCause {
    /// The system refused an operation.
    #[error("{operation}: {}", go_text(error))]
    System {
        /// `socket`, `bind`, `listen`, `chmod` or `rename`.
        operation: &'static str,
        /// The system's reason.
        error: io::Error,
    },
    /// The host is a name that has no address.
    #[error("lookup {host}: {reason}")]
    LookUp {
        /// The name.
        host: String,
        /// The resolver's reason.
        reason: String,
    },
    /// A socket's path is stored in a field of 108 bytes, of which the last is a NUL.
    #[error(
        "the path is {length} bytes long, that of a Unix socket may have {max} at most",
        max = Self::MAX_PATH
    )]
    PathTooLong {
        /// Bytes in the path.
        length: usize,
    },
    /// What lies at the path is not a socket; it is left alone.
    #[error("{kind} is there, not a socket: it is not replaced, move it or choose another path")]
    NotASocket {
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The path names no file.
    #[error("the path names no file")]
    NoFileName,
}

impl ListenCause {
    /// Bytes that the path of a Unix socket may have (unix(7): `sun_path` is 108 bytes, one is the NUL).
    pub const MAX_PATH: usize = 107;

    pub(super) fn system(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { operation, error }
    }
}
