//! From the chunks of an HTTP/2 stream to whole gRPC messages.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use super::frame::PREFIX_BYTES;
use super::status::{Code, Status};

/// The largest message that Konnectivity peers take, in bytes: grpc-go's default, `defaultServerMaxReceiveMessageSize`.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Chunks below this size are copied behind the one before them, so that their number stays bounded by
/// the bytes they hold.
const JOIN_BELOW_BYTES: usize = 4 * 1024;
/// A chunk that others were copied to grows to about this size.
const JOINED_BYTES: usize = 16 * 1024;

/// Why a byte stream cannot be cut into messages any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A message is longer than this side takes.
    #[error("grpc: received message larger than max ({length_bytes} vs. {max_bytes})")]
    TooLarge {
        /// As announced by the peer.
        length_bytes: u32,
        /// As given to [`FrameDecoder::new`].
        max_bytes: usize,
    },
    /// The compressed flag is set, though no encoding was agreed on.
    #[error("grpc: compressed flag set with identity or empty encoding")]
    Compressed,
    /// The first byte of the prefix is neither 0 nor 1.
    #[error("grpc: received unexpected payload format {0}")]
    UnknownFormat(u8),
}

impl FrameError {
    /// The status that ends the stream; code and words are grpc-go's (`rpc_util.go`).
    #[must_use]
    pub fn status(&self) -> Status {
        let code = match self {
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Compressed | Self::UnknownFormat(_) => Code::Internal,
        };
        Status::new(code, self.to_string())
    }
}

/// Cuts the bytes of one HTTP/2 stream into gRPC messages, wherever the chunks begin and end.
///
/// A message that lies within one chunk is a slice of it. One that spans chunks is copied once, when it is
/// complete; until then memory grows with what was received, never by the length that a peer announced.
///
/// What waits inside is bounded by the caller: push, then take every message, and at most one incomplete
/// message of `max_message_bytes` stays.
#[derive(Debug)]
pub struct FrameDecoder {
    max_message_bytes: usize,
    chunks: VecDeque<Bytes>,
    buffered: usize,
    /// The length of the message whose prefix was taken.
    announced: Option<usize>,
}

impl FrameDecoder {
    /// A decoder for a fresh stream that refuses messages above `max_message_bytes`.
    #[must_use]
    pub const fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            chunks: VecDeque::new(),
            buffered: 0,
            announced: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.buffered += chunk.len();
        match self.chunks.back_mut() {
            Some(last) if chunk.len() < JOIN_BELOW_BYTES && last.len() < JOINED_BYTES => {
                join(last, &chunk);
            }
            Some(_) | None => self.chunks.push_back(chunk),
        }
    }

    /// The next whole message without its prefix, or `None` until more bytes are pushed.
    ///
    /// # Errors
    ///
    /// On a prefix that breaks the rules. Every later call fails alike: the stream is of no more use.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        let length = match self.announced {
            Some(length) => length,
            None => {
                let Some(prefix) = self.peek_prefix() else {
                    return Ok(None);
                };
                let length = self.check(prefix)?;
                self.skip_prefix();
                self.announced = Some(length);
                length
            }
        };
        if self.buffered < length {
            return Ok(None);
        }
        self.announced = None;
        Ok(Some(self.take(length)))
    }

    /// Bytes received and not yet handed out; what the caller's flow control has to account for.
    #[must_use]
    pub const fn buffered_bytes(&self) -> usize {
        self.buffered
    }

    /// True when the stream may not end here: part of a message was received.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        self.buffered > 0 || self.announced.is_some()
    }

    fn check(&self, prefix: [u8; PREFIX_BYTES]) -> Result<usize, FrameError> {
        let [flag, length @ ..] = prefix;
        let length_bytes = u32::from_be_bytes(length);
        let too_large = FrameError::TooLarge {
            length_bytes,
            max_bytes: self.max_message_bytes,
        };
        let length = usize::try_from(length_bytes).map_err(|_| too_large)?;
        if length > self.max_message_bytes {
            return Err(too_large);
        }
        match flag {
            0 => Ok(length),
            1 => Err(FrameError::Compressed),
            other => Err(FrameError::UnknownFormat(other)),
        }
    }

    fn peek_prefix(&self) -> Option<[u8; PREFIX_BYTES]> {
        if self.buffered < PREFIX_BYTES {
            return None;
        }
        let mut prefix = [0; PREFIX_BYTES];
        let bytes = self.chunks.iter().flat_map(|chunk| chunk.iter());
        for (slot, byte) in prefix.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        Some(prefix)
    }

    fn skip_prefix(&mut self) {
        let mut left = PREFIX_BYTES;
        self.buffered -= left;
        while left > 0
            && let Some(mut front) = self.chunks.pop_front()
        {
            let skipped = left.min(front.len());
            left -= skipped;
            front.advance(skipped);
            self.put_back(front);
        }
    }

    /// Takes `length` bytes, of which the caller knows that they are there.
    fn take(&mut self, length: usize) -> Bytes {
        self.buffered -= length;
        let Some(mut front) = self.chunks.pop_front() else {
            return Bytes::new();
        };
        if length <= front.len() {
            let message = front.split_to(length);
            self.put_back(front);
            return message;
        }
        let mut message = BytesMut::with_capacity(length);
        message.extend_from_slice(&front);
        while message.len() < length
            && let Some(mut front) = self.chunks.pop_front()
        {
            let missing = length - message.len();
            message.extend_from_slice(&front.split_to(missing.min(front.len())));
            self.put_back(front);
        }
        message.freeze()
    }

    fn put_back(&mut self, rest: Bytes) {
        if !rest.is_empty() {
            self.chunks.push_front(rest);
        }
    }
}

/// Copies `chunk` behind `last`, in place when nobody else holds that memory.
fn join(last: &mut Bytes, chunk: &[u8]) {
    let mut joined = match std::mem::take(last).try_into_mut() {
        Ok(owned) => owned,
        Err(shared) => {
            let mut copy = BytesMut::with_capacity(shared.len() + chunk.len());
            copy.extend_from_slice(&shared);
            copy
        }
    };
    joined.extend_from_slice(chunk);
    *last = joined.freeze();
}

#[cfg(test)]
mod tests;
