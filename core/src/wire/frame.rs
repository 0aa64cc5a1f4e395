//! Encoded packets on their way to the transport: gRPC's length prefix, the protobuf, the untouched payload.

use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::message::{PacketMessage, packet_type};
use super::packet::Packet;
use crate::ids::ConnectId;

/// Length of gRPC's message prefix in bytes: the compressed flag and a 32-bit big-endian length
/// (gRPC over HTTP/2, "Length-Prefixed-Message").
pub(super) const PREFIX_BYTES: usize = 5;

/// Room for the longest message without text or payload: a `WINDOW` with two varints of ten bytes, which is
/// also enough for all of a `DATA` before its payload.
const HEAD_BYTES: usize = 32;

/// Why encoding cannot fail.
const ROOM: &str = "the buffer was made for the encoded length";

/// One packet as a gRPC message, ready for HTTP/2.
///
/// A [`Buf`] of a short head held inline and a shared body, so that the payload of `DATA` goes from the
/// received buffer to the socket without a copy, and packets without text need no allocation.
#[derive(Clone, Debug)]
pub struct Frame {
    head: [u8; HEAD_BYTES],
    /// What is left of the head; `head_at <= head_end <= HEAD_BYTES`.
    head_at: u8,
    head_end: u8,
    body: Bytes,
}

impl Frame {
    /// Encodes a packet; a payload is shared, not copied.
    #[must_use]
    pub fn encode(packet: &Packet) -> Self {
        Self::from(packet.clone())
    }

    /// Bytes left, prefix included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head().len() + self.body.len()
    }

    /// True once everything was taken; never for a fresh frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn head(&self) -> &[u8] {
        &self.head[usize::from(self.head_at)..usize::from(self.head_end)]
    }

    /// `DATA` by hand: protobuf puts the payload last, so everything before it is a short head.
    fn data(connect_id: Option<ConnectId>, data: Bytes) -> Self {
        // Field keys: number << 3 | wire type (0 varint, 2 length-delimited).
        const PACKET_TYPE: u8 = 1 << 3;
        const PACKET_DATA: u8 = 4 << 3 | 2;
        const DATA_CONNECT_ID: u8 = 1 << 3;
        const DATA_DATA: u8 = 3 << 3 | 2;

        // The two's complement bits, as protobuf has it for int64.
        let connect_id = ConnectId::wire(connect_id) as u64;
        let mut inner = 0;
        if connect_id != 0 {
            inner += 1 + varint_len(connect_id);
        }
        if !data.is_empty() {
            inner += 1 + varint_len(data.len() as u64) + data.len();
        }
        let message = 3 + varint_len(inner as u64) + inner;

        let mut head = [0; HEAD_BYTES];
        let mut rest = &mut head[..];
        put_prefix(&mut rest, message);
        rest.put_u8(PACKET_TYPE);
        rest.put_u8(packet_type::DATA as u8);
        rest.put_u8(PACKET_DATA);
        put_varint(&mut rest, inner as u64);
        if connect_id != 0 {
            rest.put_u8(DATA_CONNECT_ID);
            put_varint(&mut rest, connect_id);
        }
        if !data.is_empty() {
            rest.put_u8(DATA_DATA);
            put_varint(&mut rest, data.len() as u64);
        }
        let head_end = HEAD_BYTES - rest.len();
        Self {
            head,
            head_at: 0,
            head_end: head_end as u8,
            body: data,
        }
    }

    /// Any other packet through prost, inline when it is short.
    fn message(message: &PacketMessage) -> Self {
        let length = message.encoded_len();
        let mut head = [0; HEAD_BYTES];
        let total = PREFIX_BYTES + length;
        if total <= HEAD_BYTES {
            let mut rest = &mut head[..];
            put_prefix(&mut rest, length);
            message.encode(&mut rest).expect(ROOM);
            return Self {
                head,
                head_at: 0,
                head_end: total as u8,
                body: Bytes::new(),
            };
        }
        let mut body = BytesMut::with_capacity(total);
        put_prefix(&mut body, length);
        message.encode(&mut body).expect(ROOM);
        Self {
            head,
            head_at: 0,
            head_end: 0,
            body: body.freeze(),
        }
    }
}

impl From<Packet> for Frame {
    fn from(packet: Packet) -> Self {
        if let Packet::Data { connect_id, data } = packet {
            Self::data(connect_id, data)
        } else {
            Self::message(&PacketMessage::from(packet))
        }
    }
}

impl Buf for Frame {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        match self.head() {
            [] => &self.body,
            head => head,
        }
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let parts = [self.head(), &self.body];
        let mut filled = 0;
        for (slot, part) in dst
            .iter_mut()
            .zip(parts.into_iter().filter(|part| !part.is_empty()))
        {
            *slot = IoSlice::new(part);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        let from_head = count.min(self.head().len());
        // At most HEAD_BYTES, hence within u8.
        self.head_at += from_head as u8;
        self.body.advance(count - from_head);
    }
}

fn put_prefix(buffer: &mut impl BufMut, length: usize) {
    let length = u32::try_from(length).expect("a packet is built from parts far below 4 GiB");
    buffer.put_u8(0);
    buffer.put_u32(length);
}

/// Length of a protobuf varint in bytes: seven bits in each.
fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

fn put_varint(buffer: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}
