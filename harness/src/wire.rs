//! One direction of a gRPC stream: packets as bytes on a pipe.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Buf;
use dialback_core::wire::{Decoded, Frame, FrameDecoder, MAX_MESSAGE_BYTES, decode};
use dialback_core::{Packet, PacketKind};

use crate::pipe::{Piece, Pipe, PipeConfig, PipeEnd};
use crate::setup::Agreed;

/// What a reader of packets gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Packet(Packet),
    End(PipeEnd),
}

/// Carries packets through the real framing, wherever the pipe cuts their bytes.
#[derive(Debug)]
pub struct PacketWire {
    /// The bytes under way.
    pub pipe: Pipe,
    agreed: Agreed,
    decoder: FrameDecoder,
    /// Decoded with a piece that held several.
    packets: VecDeque<Packet>,
    sent: [usize; PacketKind::ALL.len()],
    largest_data_bytes: usize,
}

impl PacketWire {
    pub(crate) fn new(config: PipeConfig, agreed: Agreed) -> Self {
        Self {
            pipe: Pipe::new(config),
            agreed,
            decoder: FrameDecoder::new(MAX_MESSAGE_BYTES),
            packets: VecDeque::new(),
            sent: [0; PacketKind::ALL.len()],
            largest_data_bytes: 0,
        }
    }

    /// How many packets of a kind were sent.
    #[must_use]
    pub fn count(&self, kind: PacketKind) -> usize {
        self.sent[kind.index()]
    }

    /// The largest payload of a DATA packet that was sent.
    #[must_use]
    pub fn largest_data_bytes(&self) -> usize {
        self.largest_data_bytes
    }

    /// Whether one more packet may be written, whatever its size: HTTP/2 takes a message as a whole.
    pub(crate) fn has_room(&self) -> bool {
        self.pipe.room() > 0
    }

    pub(crate) fn send(&mut self, now: Instant, packet: Packet) {
        let kind = packet.kind();
        assert!(
            self.agreed.allows(kind),
            "{kind:?} was not agreed on: {packet:?}"
        );
        self.sent[kind.index()] += 1;
        if let Packet::Data { data, .. } = &packet {
            self.largest_data_bytes = self.largest_data_bytes.max(data.len());
        }
        let mut frame = Frame::from(packet);
        let bytes = frame.copy_to_bytes(frame.remaining());
        self.pipe.write(now, bytes);
    }

    /// The next packet whose bytes have all arrived.
    pub(crate) fn receive(&mut self, now: Instant) -> Option<Received> {
        while self.packets.is_empty() {
            match self.pipe.read(now, usize::MAX)? {
                Piece::Data(data) => self.decode(data),
                Piece::End(end) => return Some(Received::End(end)),
            }
        }
        self.packets.pop_front().map(Received::Packet)
    }

    fn decode(&mut self, data: bytes::Bytes) {
        self.decoder.push(data);
        while let Some(message) = self
            .decoder
            .next_message()
            .expect("the harness sends well-formed messages")
        {
            match decode(message).expect("the harness sends packets") {
                Decoded::Packet(packet) => self.packets.push_back(packet),
                Decoded::UnknownType(_) | Decoded::MissingPayload(_) => {
                    panic!("the harness sends complete packets of known types")
                }
            }
        }
    }

    /// Whether reading would get on.
    pub(crate) fn readable(&self, now: Instant) -> bool {
        !self.packets.is_empty() || self.pipe.readable(now)
    }

    /// The reader hears that the connection broke, whatever it has not read.
    pub(crate) fn is_reset(&self, now: Instant) -> bool {
        self.pipe.is_reset(now)
    }

    /// The network goes; see [`Pipe::cut`].
    pub(crate) fn cut(&mut self, now: Instant, kept_bytes: usize, notices: Option<Duration>) {
        if kept_bytes == 0 {
            self.packets.clear();
        }
        self.pipe.cut(now, kept_bytes, notices);
    }

    /// The connection under the wire is lost: nothing of what was under way arrives.
    pub(crate) fn lose(&mut self, now: Instant) {
        self.packets.clear();
        self.pipe.reset(now);
        self.pipe.break_off();
    }
}
