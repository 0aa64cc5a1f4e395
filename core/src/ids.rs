//! The ids that name things on the wire and inside the machines.

use std::fmt;
use std::num::NonZeroI64;

/// Names one agent's Connect stream inside one process: a tunnel as the server or the agent sees it.
///
/// Never sent. A process gives each new link a fresh id, so that a late event of an ended link cannot
/// reach its successor, even when both belong to the same agent id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link:{}", self.0)
    }
}

/// Names one stream of a link from the dial to its end, in this process only.
///
/// Unlike [`ConnectId`] it exists before the agent has answered the dial, and it is never reused within
/// a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream:{}", self.0)
    }
}

/// Names a pending dial; `random` on the wire, a signed 64-bit integer of which every value is legal.
///
/// The side that sends `DIAL_REQ` picks it and the answer echoes it. The server translates between the
/// frontend's dial id and its own towards the agent, so that no frontend can collide with another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub i64);

impl fmt::Display for DialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dial:{}", self.0)
    }
}

/// Names one established connection on one agent link; the agent picks it in `DIAL_RSP`.
///
/// Agents count from 1 on every link, so tables are keyed per link. Wire: `connectID`, a signed 64-bit
/// integer; zero means "absent" and reads as `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectId(NonZeroI64);

impl ConnectId {
    /// The id with this wire value, or `None` for zero, which means "absent".
    #[must_use]
    pub const fn new(wire: i64) -> Option<Self> {
        match NonZeroI64::new(wire) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The wire value; never zero.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0.get()
    }

    /// The wire value of an id that may be absent; zero for `None`.
    #[must_use]
    pub const fn wire(id: Option<Self>) -> i64 {
        match id {
            Some(id) => id.0.get(),
            None => 0,
        }
    }
}

impl fmt::Display for ConnectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn:{}", self.0)
    }
}
