//! What goes into a fleet and what comes out of it.

use std::fmt;
use std::time::Duration;

use crate::ids::LinkId;

/// Names one attempt to connect to a server; counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt:{}", self.0)
    }
}

/// What a server says of itself in the response headers of a Connect stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// `serverid`: which server instance this is.
    pub server_id: String,
    /// `servercount`: how many instances there are behind the address; any integer is legal.
    pub server_count: i64,
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetAction {
    /// Connect to the server's address, open a Connect stream and read its response headers.
    ///
    /// Answered once by `handle_connected` or `handle_attempt_failed`.
    StartAttempt {
        /// To be named in the answer.
        attempt: AttemptId,
    },
    /// Give an attempt up. An answer that comes all the same is harmless.
    CancelAttempt {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Serve this link; `handle_link_down` says when it has ended.
    AcceptLink {
        /// As the driver named it.
        link: LinkId,
    },
    /// The session of this suspended link is over: the server that had it knows it no more.
    EndLink {
        /// As the driver named it.
        link: LinkId,
    },
    /// Close this link unused.
    CloseLink {
        /// As the driver named it.
        link: LinkId,
        /// Why it is not wanted.
        reason: LinkRefused,
    },
}

/// Why a link that an attempt led to is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    /// There is a link to this server already; text as in the reference.
    #[error("duplicate server: {server_id}")]
    Duplicate {
        /// The server that answered again.
        server_id: String,
    },
    /// The agent is to end, and wants no new link.
    #[error("agent is draining")]
    Draining,
    /// The server may still know the session of a link that was lost while the attempt was under way. It is offered
    /// with the next, which follows at once.
    #[error("{suspended} waits for this server, which was not asked for its session")]
    NotOffered {
        /// The link that waits.
        suspended: LinkId,
    },
    /// The attempt was given up before.
    #[error("{attempt} was given up before it led to {link}")]
    AttemptOver {
        /// The attempt that came too late.
        attempt: AttemptId,
        /// The link it led to.
        link: LinkId,
    },
}

/// What happened, for logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetEvent {
    /// The expected number of servers was determined or has changed (`known_server_count`).
    KnownServers {
        /// The new number; at least one.
        count: u64,
    },
    /// The set of links has changed (`open_server_connections` is `connected`).
    Links {
        /// Links that count as connected to a server.
        connected: usize,
        /// Links whose server said GOAWAY: they serve their streams to the end.
        leaving: usize,
    },
    /// An attempt took too long and was given up.
    AttemptTimedOut {
        /// Which attempt.
        attempt: AttemptId,
        /// The bound it met.
        timeout: Duration,
    },
    /// After a failure the next attempt starts in `wait`, or earlier should a link be lost.
    Waiting {
        /// The attempt that failed.
        attempt: AttemptId,
        /// How long from now.
        wait: Duration,
    },
    /// As many links are held as may be: no attempt starts until one has ended.
    LinkLimitReached {
        /// The bound that was met, in links.
        limit: usize,
    },
}
