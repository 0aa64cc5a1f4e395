//! What a stream holds of its limits.

use std::time::Instant;

use super::table::CountsId;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the frontend to the endpoint.
    ToEndpoint = 0,
    /// From the endpoint to the frontend.
    ToFrontend = 1,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ToEndpoint, Self::ToFrontend];
}

/// What is held while a dial or a stream goes on; to be given back with [`Throttle::release`](super::Throttle::release).
///
/// Whoever passes a chunk of bytes ([`Throttle::pass`](super::Throttle::pass)) pays for it and then waits until all that was
/// passed before, by whomever, is paid: those who share a limit take turns, a chunk each.
#[derive(Debug, Default)]
#[must_use = "a ticket that is not given back counts for ever"]
pub struct Ticket {
    /// Where it counts.
    pub(super) held: Vec<CountsId>,
    /// Where it counts for its agent.
    pub(super) agent: Vec<CountsId>,
    /// Its bytes are counted too.
    pub(super) is_shaped: bool,
    pub(super) until: [Option<Instant>; 2],
}

impl Ticket {
    /// Whether a limit of bytes is for it; if not, there is no need to say what passes.
    #[must_use]
    pub const fn is_shaped(&self) -> bool {
        self.is_shaped
    }

    /// Until when no more bytes may pass; `None` when they may.
    #[must_use]
    pub fn waits_until(&self, now: Instant, direction: Direction) -> Option<Instant> {
        self.until[direction as usize].filter(|until| now < *until)
    }
}
