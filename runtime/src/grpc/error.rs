//! Why a connection ended.

use std::io;

use dialback_core::wire::Status;

/// Why an HTTP/2 connection ended other than in an orderly way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer did not finish the handshake in time.
    #[error("the peer took too long for the HTTP/2 handshake")]
    HandshakeTimeout,
    /// Nothing came from the peer, not even the answer to a PING.
    #[error("the peer stayed silent and did not answer a keep-alive PING")]
    KeepaliveTimeout,
    /// The client sent PINGs more often than the server allows.
    #[error("the client sent too many PINGs")]
    TooManyPings,
    /// The peer broke the protocol, or says that we did.
    #[error("HTTP/2 error: {0}")]
    Http2(#[source] h2::Error),
    /// The transport failed.
    #[error("connection lost: {0}")]
    Io(#[source] io::Error),
}

/// Why a call was not answered with response headers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The connection was lost.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The server closed the connection in an orderly way.
    #[error("server closed the HTTP/2 connection before it answered")]
    Closed,
    /// The server's own words, which the reference's agent hides behind a missing header.
    #[error("server refused the connection: {0}")]
    Refused(#[from] Status),
}

impl ConnectionError {
    pub(super) fn from_h2(error: h2::Error) -> Self {
        if !error.is_io() {
            return Self::Http2(error);
        }
        let text = error.to_string();
        Self::Io(error.into_io().unwrap_or_else(|| io::Error::other(text)))
    }

    /// What an error at the end of a connection means; `None` for a peer that just hung up while nothing was
    /// going on. It may have done so before our last words (a WINDOW_UPDATE, a GOAWAY, TLS's close_notify) were
    /// out, which then fail.
    pub(super) fn at_end(error: h2::Error, idle: bool) -> Option<Self> {
        let gone = matches!(
            error.get_io().map(io::Error::kind),
            Some(
                io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::UnexpectedEof
            )
        );
        let farewell = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        (!(idle && gone || farewell)).then(|| Self::from_h2(error))
    }
}
