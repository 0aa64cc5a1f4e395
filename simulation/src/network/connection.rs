//! One connection: its two ends, and what is under way between them.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Index, IndexMut};
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::failure::Failure;
use super::host_state::{HostId, Place};

/// Names a connection, in the order in which they were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn:{}", self.0)
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who connected.
    Client,
    /// Who accepted.
    Server,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// One of something for each side.
#[derive(Debug)]
pub(crate) struct Sides<T>(pub(crate) [T; 2]);

impl<T> Index<Side> for Sides<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        &self.0[side as usize]
    }
}

impl<T> IndexMut<Side> for Sides<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        &mut self.0[side as usize]
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) ends: Sides<End>,
    /// What each side sends.
    pub(crate) flows: Sides<Flow>,
    /// Since when the network between the ends knows nothing of it.
    pub(crate) forgotten_since: Option<Duration>,
    /// How often it was asked for.
    pub(crate) asked: u32,
}

/// What the system of one end knows.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) place: Place,
    pub(crate) life: Life,
    /// Somebody has the socket.
    pub(crate) held: bool,
    /// The sending direction is closed.
    pub(crate) finished: bool,
    pub(crate) reset_on_close: bool,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) user_timeout: Option<Duration>,
    /// Told to the next who reads or writes; those after find the end.
    pub(crate) error: Option<Failure>,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
}

/// ```text
/// Absent ─▶ Open ─▶ Closed       who accepts
/// Connecting ─▶ Open ─▶ Closed   who connects
/// any ─▶ Dead                    a reset, a timeout, no power
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nobody has heard of the connection here.
    Absent,
    Connecting,
    Open,
    /// The socket was closed; what was sent still travels.
    Closed,
    /// Whatever comes is answered with a reset.
    Dead,
}

/// One direction.
#[derive(Debug)]
pub(crate) struct Flow {
    /// On their way, in order.
    pub(crate) parcels: VecDeque<Parcel>,
    /// Arrived and not yet read.
    pub(crate) received: BytesMut,
    /// The end of the direction has arrived.
    pub(crate) ended: bool,
    /// What the sender knows to take up room in the buffers, and how much there is.
    pub(crate) used_bytes: usize,
    pub(crate) buffer_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) departs: Duration,
    pub(crate) arrives: Duration,
    pub(crate) load: Load,
}

#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// Asks for a connection.
    Syn,
    /// Agrees to it.
    SynAck,
    /// Nobody listens.
    Refusal,
    Data(Bytes),
    /// No more data.
    Fin,
    Reset,
    /// So many bytes were read.
    Room(usize),
}

/// What a parcel holds, for the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Syn,
    SynAck,
    Refusal,
    Data(usize),
    Fin,
    Reset,
    Room(usize),
}

impl Load {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Syn => Kind::Syn,
            Self::SynAck => Kind::SynAck,
            Self::Refusal => Kind::Refusal,
            Self::Data(data) => Kind::Data(data.len()),
            Self::Fin => Kind::Fin,
            Self::Reset => Kind::Reset,
            Self::Room(bytes) => Kind::Room(*bytes),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syn => f.write_str("SYN"),
            Self::SynAck => f.write_str("SYN-ACK"),
            Self::Refusal => f.write_str("refusal"),
            Self::Data(bytes) => write!(f, "{bytes} bytes"),
            Self::Fin => f.write_str("FIN"),
            Self::Reset => f.write_str("RST"),
            Self::Room(bytes) => write!(f, "room for {bytes} bytes"),
        }
    }
}

impl End {
    pub(crate) fn new(host: HostId, place: Place, life: Life) -> Self {
        Self {
            host,
            place,
            life,
            held: false,
            finished: false,
            reset_on_close: false,
            keepalive: None,
            user_timeout: None,
            error: None,
            reader: None,
            writer: None,
        }
    }

    /// Whoever waits is to look again.
    pub(crate) fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    pub(crate) fn die(&mut self, error: Option<Failure>) {
        self.life = Life::Dead;
        self.error = error;
        self.wake();
    }
}

impl Flow {
    pub(crate) fn new(buffer_bytes: usize) -> Self {
        Self {
            parcels: VecDeque::new(),
            received: BytesMut::new(),
            ended: false,
            used_bytes: 0,
            buffer_bytes,
        }
    }

    pub(crate) fn room(&self) -> usize {
        self.buffer_bytes.saturating_sub(self.used_bytes)
    }
}

impl Connection {
    /// Nobody holds a socket of it, and neither system needs it.
    pub(crate) fn is_over(&self) -> bool {
        let over = |side: Side| {
            let end = &self.ends[side];
            let gone = matches!(end.life, Life::Absent | Life::Closed | Life::Dead);
            gone && !end.held && (self.flows[side].parcels.is_empty() || self.is_forgotten())
        };
        Side::BOTH.into_iter().all(over)
    }

    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten_since.is_some()
    }

    /// Between these hosts, whichever way round.
    pub(crate) fn is_between(&self, one: HostId, other: HostId) -> bool {
        let hosts = (self.ends[Side::Client].host, self.ends[Side::Server].host);
        hosts == (one, other) || hosts == (other, one)
    }
}
