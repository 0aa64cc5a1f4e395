//! From the bytes of a message to a [`Packet`], and back to the message.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message;

use super::message::{self, PacketMessage, Payload, packet_type};
use super::packet::{Packet, PacketKind};
use super::status::{Code, Status};
use crate::ids::{ConnectId, DialId};

/// The longest text of a socket address: IPv6 that ends in IPv4's notation, with the largest scope and port.
const MAX_ADDRESS_BYTES: usize =
    "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535".len();

/// What a message turned out to be.
///
/// The last two are no packets, and no reason to end the stream they came on: peers ignore them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A packet of a known type.
    Packet(Packet),
    /// A type this version does not know, by its wire value; to be ignored.
    UnknownType(i32),
    /// A known type whose payload is absent, or is that of another type.
    ///
    /// The reference dereferences nil here and its process ends; nothing may be done with it but to ignore
    /// it or to count it.
    MissingPayload(PacketKind),
}

/// A message is not the protobuf that it should be; the stream it came on cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message does not parse as a packet: {0}")]
pub struct DecodeError(prost::DecodeError);

impl DecodeError {
    /// The status that ends the stream, in grpc-go's words (`rpc_util.go`, `recv`).
    #[must_use]
    pub fn status(&self) -> Status {
        Status::new(
            Code::Internal,
            format!("grpc: failed to unmarshal the received message: {}", self.0),
        )
    }
}

/// Decodes one gRPC message.
///
/// The payload of `DATA` is a slice of `message`. Strings are copied; what they cost is bounded by the length
/// of `message`, which the [`FrameDecoder`](super::FrameDecoder) has bounded before.
///
/// The `type` decides which payload is looked at, and the payload of another type counts as none, as in the
/// reference. `DRAIN` carries nothing, hence is complete without its payload.
///
/// # Errors
///
/// When the bytes are not a protobuf `Packet`, which includes strings that are not UTF-8.
pub fn decode(message: Bytes) -> Result<Decoded, DecodeError> {
    let PacketMessage { r#type, payload } = PacketMessage::decode(message).map_err(DecodeError)?;
    let packet = match (r#type, payload) {
        (packet_type::DIAL_REQ, Some(Payload::DialRequest(dial))) => Packet::DialRequest {
            dial: DialId(dial.random),
            protocol: dial.protocol,
            address: dial.address,
        },
        (packet_type::DIAL_RSP, Some(Payload::DialResponse(answer))) => Packet::DialResponse {
            dial: DialId(answer.random),
            connect_id: ConnectId::new(answer.connect_id),
            error: answer.error,
            address: socket_address(&answer.endpoint_address),
        },
        (packet_type::CLOSE_REQ, Some(Payload::CloseRequest(close))) => Packet::CloseRequest {
            connect_id: ConnectId::new(close.connect_id),
        },
        (packet_type::CLOSE_RSP, Some(Payload::CloseResponse(close))) => Packet::CloseResponse {
            connect_id: ConnectId::new(close.connect_id),
            error: close.error,
        },
        (packet_type::DATA, Some(Payload::Data(data))) => Packet::Data {
            connect_id: ConnectId::new(data.connect_id),
            data: data.data,
        },
        (packet_type::DIAL_CLS, Some(Payload::CloseDial(close))) => Packet::CloseDial {
            dial: DialId(close.random),
        },
        (packet_type::DRAIN, _) => Packet::Drain,
        (packet_type::WINDOW, Some(Payload::WindowUpdate(update))) => Packet::WindowUpdate {
            connect_id: ConnectId::new(update.connect_id),
            bytes: update.bytes,
        },
        (packet_type::CLOSE_WRITE, Some(Payload::CloseWrite(close))) => Packet::CloseWrite {
            connect_id: ConnectId::new(close.connect_id),
        },
        (packet_type::ACK, Some(Payload::Ack(ack))) => Packet::Ack {
            received: ack.received,
        },
        (packet_type::RESET, Some(Payload::Reset(reset))) => Packet::Reset {
            connect_id: ConnectId::new(reset.connect_id),
            code: reset.code,
            text: reset.text,
        },
        (other, _) => {
            return Ok(match kind_of(other) {
                Some(kind) => Decoded::MissingPayload(kind),
                None => Decoded::UnknownType(other),
            });
        }
    };
    Ok(Decoded::Packet(packet))
}

/// What is no socket address, or longer than one can be, counts as none.
fn socket_address(text: &[u8]) -> Option<SocketAddr> {
    if text.is_empty() || text.len() > MAX_ADDRESS_BYTES {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

fn kind_of(wire_type: i32) -> Option<PacketKind> {
    PacketKind::ALL
        .into_iter()
        .find(|kind| kind.wire_type() == wire_type)
}

impl From<Packet> for PacketMessage {
    fn from(packet: Packet) -> Self {
        let (r#type, payload) = match packet {
            Packet::DialRequest {
                dial,
                protocol,
                address,
            } => (
                packet_type::DIAL_REQ,
                Payload::DialRequest(message::DialRequest {
                    protocol,
                    address,
                    random: dial.0,
                }),
            ),
            Packet::DialResponse {
                dial,
                connect_id,
                error,
                address,
            } => (
                packet_type::DIAL_RSP,
                Payload::DialResponse(message::DialResponse {
                    error,
                    connect_id: ConnectId::wire(connect_id),
                    random: dial.0,
                    endpoint_address: address
                        .map(|address| address.to_string().into())
                        .unwrap_or_default(),
                }),
            ),
            Packet::CloseRequest { connect_id } => (
                packet_type::CLOSE_REQ,
                Payload::CloseRequest(message::CloseRequest {
                    connect_id: ConnectId::wire(connect_id),
                }),
            ),
            Packet::CloseResponse { connect_id, error } => (
                packet_type::CLOSE_RSP,
                Payload::CloseResponse(message::CloseResponse {
                    error,
                    connect_id: ConnectId::wire(connect_id),
                }),
            ),
            Packet::Data { connect_id, data } => (
                packet_type::DATA,
                Payload::Data(message::Data {
                    connect_id: ConnectId::wire(connect_id),
                    error: String::new(),
                    data,
                }),
            ),
            Packet::CloseDial { dial } => (
                packet_type::DIAL_CLS,
                Payload::CloseDial(message::CloseDial { random: dial.0 }),
            ),
            Packet::Drain => (packet_type::DRAIN, Payload::Drain(message::Drain {})),
            Packet::WindowUpdate { connect_id, bytes } => (
                packet_type::WINDOW,
                Payload::WindowUpdate(message::WindowUpdate {
                    connect_id: ConnectId::wire(connect_id),
                    bytes,
                }),
            ),
            Packet::CloseWrite { connect_id } => (
                packet_type::CLOSE_WRITE,
                Payload::CloseWrite(message::CloseWrite {
                    connect_id: ConnectId::wire(connect_id),
                }),
            ),
            Packet::Ack { received } => (packet_type::ACK, Payload::Ack(message::Ack { received })),
            Packet::Reset {
                connect_id,
                code,
                text,
            } => (
                packet_type::RESET,
                Payload::Reset(message::Reset {
                    connect_id: ConnectId::wire(connect_id),
                    code,
                    text,
                }),
            ),
        };
        Self {
            r#type,
            payload: Some(payload),
        }
    }
}
