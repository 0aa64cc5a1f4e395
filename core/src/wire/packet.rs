//! The packets of the protocol as real types; what a peer sent that does not parse never becomes one.

use std::net::SocketAddr;

use bytes::Bytes;

use super::message::packet_type;
use crate::ids::{ConnectId, DialId};

/// One message of a Proxy or Connect stream (`Packet` in the Konnectivity protocol, KEP-1281).
///
/// A `connect_id` of `None` is the wire's zero, "absent": legal to receive in every packet that carries
/// one, and never established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// `DIAL_REQ`: open a connection to `address`.
    DialRequest {
        /// Echoed in the answer.
        dial: DialId,
        /// A Go network name; `tcp` in practice.
        protocol: String,
        /// `host:port`, with an IPv6 host in brackets.
        address: String,
    },
    /// `DIAL_RSP`: the dial succeeded (empty `error`) or failed.
    DialResponse {
        /// As in the request.
        dial: DialId,
        /// The established connection; `None` on failure.
        connect_id: Option<ConnectId>,
        /// Empty on success, else the reason in words.
        error: String,
        /// Where the agent connected to (Dialback extension `dialled-address/1`); never to or from a frontend.
        address: Option<SocketAddr>,
    },
    /// `CLOSE_REQ`: the dialling side is done with the connection.
    CloseRequest {
        /// Which connection.
        connect_id: Option<ConnectId>,
    },
    /// `CLOSE_RSP`: the connection has ended; sent in answer to `CLOSE_REQ` and on the endpoint's close.
    CloseResponse {
        /// Which connection.
        connect_id: Option<ConnectId>,
        /// Empty for an orderly end, else the reason in words.
        error: String,
    },
    /// `DATA`: bytes of one connection, in order.
    Data {
        /// Which connection.
        connect_id: Option<ConnectId>,
        /// The bytes; shared with the buffer they were received in, not copied.
        data: Bytes,
    },
    /// `DIAL_CLS`: the dial is given up (towards the agent) or was ended without an answer.
    CloseDial {
        /// Which dial.
        dial: DialId,
    },
    /// `DRAIN`: the agent wants no new dials where another agent can serve them.
    Drain,
    /// `WINDOW` (Dialback extension `flow-control/1`): that many more payload bytes may be sent.
    WindowUpdate {
        /// Which connection.
        connect_id: Option<ConnectId>,
        /// Additional credit, in bytes.
        bytes: u64,
    },
    /// `CLOSE_WRITE` (Dialback extension `half-close/1`): no more DATA from this side; the other goes on.
    CloseWrite {
        /// Which connection.
        connect_id: Option<ConnectId>,
    },
    /// `ACK` (Dialback extension `resume/1`): how many packets of this session were taken so far.
    Ack {
        /// Packets counted from the session's start, `ACK`s left out.
        received: u64,
    },
    /// `RESET` (Dialback extension `reset/1`): the connection has ended early and nothing more is taken for it.
    Reset {
        /// Which connection.
        connect_id: Option<ConnectId>,
        /// Why, by its number (`CloseReason`).
        code: i32,
        /// Why, in words; may be empty.
        text: String,
    },
}

/// The type of a packet, as the `packet_type` label of metrics names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    /// `DIAL_REQ`, wire value 0.
    DialRequest,
    /// `DIAL_RSP`, wire value 1.
    DialResponse,
    /// `CLOSE_REQ`, wire value 2.
    CloseRequest,
    /// `CLOSE_RSP`, wire value 3.
    CloseResponse,
    /// `DATA`, wire value 4.
    Data,
    /// `DIAL_CLS`, wire value 5.
    CloseDial,
    /// `DRAIN`, wire value 6.
    Drain,
    /// `WINDOW`, wire value 100; an extension, as all that follow: never sent unless negotiated.
    WindowUpdate,
    /// `CLOSE_WRITE`, wire value 101.
    CloseWrite,
    /// `ACK`, wire value 102.
    Ack,
    /// `RESET`, wire value 103.
    Reset,
}

impl PacketKind {
    /// Every kind, in wire order.
    pub const ALL: [Self; 11] = [
        Self::DialRequest,
        Self::DialResponse,
        Self::CloseRequest,
        Self::CloseResponse,
        Self::Data,
        Self::CloseDial,
        Self::Drain,
        Self::WindowUpdate,
        Self::CloseWrite,
        Self::Ack,
        Self::Reset,
    ];

    /// The protocol's name, as in metric labels and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DialRequest => "DIAL_REQ",
            Self::DialResponse => "DIAL_RSP",
            Self::CloseRequest => "CLOSE_REQ",
            Self::CloseResponse => "CLOSE_RSP",
            Self::Data => "DATA",
            Self::CloseDial => "DIAL_CLS",
            Self::Drain => "DRAIN",
            Self::WindowUpdate => "WINDOW",
            Self::CloseWrite => "CLOSE_WRITE",
            Self::Ack => "ACK",
            Self::Reset => "RESET",
        }
    }

    /// Its value of `type` on the wire: the reference's are small numbers, the extensions' start at 100.
    #[must_use]
    pub const fn wire_type(self) -> i32 {
        match self {
            Self::DialRequest => packet_type::DIAL_REQ,
            Self::DialResponse => packet_type::DIAL_RSP,
            Self::CloseRequest => packet_type::CLOSE_REQ,
            Self::CloseResponse => packet_type::CLOSE_RSP,
            Self::Data => packet_type::DATA,
            Self::CloseDial => packet_type::DIAL_CLS,
            Self::Drain => packet_type::DRAIN,
            Self::WindowUpdate => packet_type::WINDOW,
            Self::CloseWrite => packet_type::CLOSE_WRITE,
            Self::Ack => packet_type::ACK,
            Self::Reset => packet_type::RESET,
        }
    }

    /// Position in [`PacketKind::ALL`], for tables of counters.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl Packet {
    /// `DIAL_RSP` for a dial that succeeded, as plain Konnectivity has it.
    #[must_use]
    pub const fn dial_succeeded(dial: DialId, connect_id: ConnectId) -> Self {
        Self::DialResponse {
            dial,
            connect_id: Some(connect_id),
            error: String::new(),
            address: None,
        }
    }

    /// `DIAL_RSP` for a dial that failed; `error` says why and is not empty.
    #[must_use]
    pub const fn dial_failed(dial: DialId, error: String) -> Self {
        Self::DialResponse {
            dial,
            connect_id: None,
            error,
            address: None,
        }
    }

    /// The type of this packet.
    #[must_use]
    pub const fn kind(&self) -> PacketKind {
        match self {
            Self::DialRequest { .. } => PacketKind::DialRequest,
            Self::DialResponse { .. } => PacketKind::DialResponse,
            Self::CloseRequest { .. } => PacketKind::CloseRequest,
            Self::CloseResponse { .. } => PacketKind::CloseResponse,
            Self::Data { .. } => PacketKind::Data,
            Self::CloseDial { .. } => PacketKind::CloseDial,
            Self::Drain => PacketKind::Drain,
            Self::WindowUpdate { .. } => PacketKind::WindowUpdate,
            Self::CloseWrite { .. } => PacketKind::CloseWrite,
            Self::Ack { .. } => PacketKind::Ack,
            Self::Reset { .. } => PacketKind::Reset,
        }
    }
}
