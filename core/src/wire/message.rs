//! The protobuf messages, field for field (Konnectivity, `konnectivity-client/proto/client/client.proto`).
//!
//! Written by hand with prost's derive, so that building needs no protobuf compiler; the recorded vectors pin
//! the bytes. `connectID` is field 1 in some messages and field 2 in others: that is the protocol.

use bytes::Bytes;
use prost::{Message, Oneof};

/// Wire values of `PacketType`; payload field numbers do not follow their order.
pub(super) mod packet_type {
    pub(crate) const DIAL_REQ: i32 = 0;
    pub(crate) const DIAL_RSP: i32 = 1;
    pub(crate) const CLOSE_REQ: i32 = 2;
    pub(crate) const CLOSE_RSP: i32 = 3;
    pub(crate) const DATA: i32 = 4;
    pub(crate) const DIAL_CLS: i32 = 5;
    pub(crate) const DRAIN: i32 = 6;
    /// Dialback extension `flow-control/1`.
    pub(crate) const WINDOW: i32 = 100;
    /// Dialback extension `half-close/1`.
    pub(crate) const CLOSE_WRITE: i32 = 101;
    /// Dialback extension `resume/1`.
    pub(crate) const ACK: i32 = 102;
    /// Dialback extension `reset/1`.
    pub(crate) const RESET: i32 = 103;
}

/// `Packet`: the type, and at most one payload.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PacketMessage {
    /// An open enum: unknown values survive decoding.
    #[prost(int32, tag = "1")]
    pub(super) r#type: i32,
    #[prost(oneof = "Payload", tags = "2, 3, 4, 5, 6, 7, 8, 100, 101, 102, 103")]
    pub(super) payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Payload {
    #[prost(message, tag = "2")]
    DialRequest(DialRequest),
    #[prost(message, tag = "3")]
    DialResponse(DialResponse),
    #[prost(message, tag = "4")]
    Data(Data),
    #[prost(message, tag = "5")]
    CloseRequest(CloseRequest),
    #[prost(message, tag = "6")]
    CloseResponse(CloseResponse),
    #[prost(message, tag = "7")]
    CloseDial(CloseDial),
    #[prost(message, tag = "8")]
    Drain(Drain),
    #[prost(message, tag = "100")]
    WindowUpdate(WindowUpdate),
    #[prost(message, tag = "101")]
    CloseWrite(CloseWrite),
    #[prost(message, tag = "102")]
    Ack(Ack),
    #[prost(message, tag = "103")]
    Reset(Reset),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DialRequest {
    #[prost(string, tag = "1")]
    pub(super) protocol: String,
    #[prost(string, tag = "2")]
    pub(super) address: String,
    #[prost(int64, tag = "3")]
    pub(super) random: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DialResponse {
    #[prost(string, tag = "1")]
    pub(super) error: String,
    #[prost(int64, tag = "2")]
    pub(super) connect_id: i64,
    #[prost(int64, tag = "3")]
    pub(super) random: i64,
    /// Dialback extension `dialled-address/1`, a string; bytes here, so that one that is no text is no reason to
    /// end the tunnel, and reading needs no copy.
    #[prost(bytes = "bytes", tag = "100")]
    pub(super) endpoint_address: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Data {
    #[prost(int64, tag = "1")]
    pub(super) connect_id: i64,
    /// Never set and never read by anyone.
    #[prost(string, tag = "2")]
    pub(super) error: String,
    /// `Bytes`, so that decoding slices the received buffer.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseRequest {
    #[prost(int64, tag = "1")]
    pub(super) connect_id: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseResponse {
    #[prost(string, tag = "1")]
    pub(super) error: String,
    #[prost(int64, tag = "2")]
    pub(super) connect_id: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseDial {
    #[prost(int64, tag = "1")]
    pub(super) random: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Drain {}

/// Dialback extension `flow-control/1`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WindowUpdate {
    #[prost(int64, tag = "1")]
    pub(super) connect_id: i64,
    #[prost(uint64, tag = "2")]
    pub(super) bytes: u64,
}

/// Dialback extension `half-close/1`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CloseWrite {
    #[prost(int64, tag = "1")]
    pub(super) connect_id: i64,
}

/// Dialback extension `resume/1`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Ack {
    #[prost(uint64, tag = "1")]
    pub(super) received: u64,
}

/// Dialback extension `reset/1`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Reset {
    #[prost(int64, tag = "1")]
    pub(super) connect_id: i64,
    #[prost(int32, tag = "2")]
    pub(super) code: i32,
    #[prost(string, tag = "3")]
    pub(super) text: String,
}
