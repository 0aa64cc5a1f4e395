//! gRPC message framing and packets: any bytes, cut anywhere.
//!
//! The first byte says how the rest is cut into chunks. Whatever comes: no panic, the same messages however the
//! bytes are cut, and what decodes to a packet encodes to one that decodes to the same.

use bytes::{Buf, Bytes};
use dialback_core::wire::{Decoded, Frame, FrameDecoder, decode};

const MAX_MESSAGE_BYTES: usize = 64 * 1024;

pub(super) fn check(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let whole = messages(stream, stream.len().max(1));
    let pieces = messages(stream, usize::from(*cut).max(1));
    assert_eq!(whole, pieces, "messages depend on how the bytes were cut");
    for message in whole.0 {
        if let Ok(Decoded::Packet(packet)) = decode(message) {
            let mut frame = Frame::encode(&packet);
            let encoded = frame.copy_to_bytes(frame.remaining());
            let (again, failed) = messages(&encoded, encoded.len());
            assert!(
                !failed && again.len() == 1,
                "our own frame is not one message"
            );
            let decoded = decode(again[0].clone());
            assert_eq!(decoded.ok(), Some(Decoded::Packet(packet)));
        }
    }
}

/// The messages of a stream, and whether it broke the framing.
fn messages(stream: &[u8], chunk_bytes: usize) -> (Vec<Bytes>, bool) {
    let mut decoder = FrameDecoder::new(MAX_MESSAGE_BYTES);
    let mut messages = Vec::new();
    for chunk in stream.chunks(chunk_bytes) {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
        assert!(decoder.buffered_bytes() <= MAX_MESSAGE_BYTES + 5 + chunk_bytes);
    }
    (messages, false)
}
