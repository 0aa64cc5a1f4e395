//! Makes the `:authority` of Unix-socket clients one that the HTTP/2 library accepts.

use super::frames::{CONTINUATION, FrameHeader, FrameWalker, HEADERS, Step};
use super::hpack::{FieldBlock, Malformed};

const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_BYTES: usize = 5;

/// Sits between a Unix socket and the HTTP/2 library of a server.
///
/// A Go client that dials a socket path, kube-apiserver among them, sends that path percent-encoded as
/// `:authority` (`%2Frun%2Fkonnectivity%2Fs.sock`), others send it raw. Neither is a URI authority, so the h2
/// crate resets such streams (hyperium/h2 issues 442 and 487), while grpc-go's server takes any value. No one
/// reads it, hence this changes it in place: `%` and `/` become `-`, and a Huffman-coded `/` becomes `3`.
///
/// Lengths and all other bytes stay. What is no well-formed HTTP/2 passes unchanged from there on, for the
/// library to refuse. Nothing is kept back, and the state is of a fixed size.
#[derive(Debug)]
pub struct AuthorityRewriter {
    walker: FrameWalker,
    /// Set at the first fault.
    passes_all: bool,
    /// What the payload of the current frame is.
    payload: Payload,
    /// The field block that HEADERS began and CONTINUATION may go on with.
    block: Option<FieldBlock>,
}

#[derive(Clone, Copy, Debug)]
enum Payload {
    /// Nothing to change.
    Other,
    /// HEADERS or CONTINUATION; what is left of each part, in this order.
    Fields {
        /// The next byte is the length of the padding.
        pad_length: bool,
        priority: usize,
        /// With the padding, as long as its length is not known.
        fragment: usize,
        /// The block ends with this frame.
        ends_block: bool,
    },
}

impl Default for AuthorityRewriter {
    fn default() -> Self {
        Self::new()
    }
}

impl AuthorityRewriter {
    /// For a fresh connection, before its first byte.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            walker: FrameWalker::client(),
            passes_all: false,
            payload: Payload::Other,
            block: None,
        }
    }

    /// Changes the next bytes from the client in place; any split will do.
    pub fn rewrite(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.passes_all {
            let (taken, step) = self.walker.step(rest);
            let (these, after) = rest.split_at_mut(taken);
            let result = match step {
                Step::Header(header) => self.frame_begins(header),
                Step::Payload => self.payload(these),
                Step::Partial => Ok(()),
                Step::Foreign => Err(Malformed),
            };
            self.passes_all = result.is_err();
            rest = after;
        }
    }

    fn frame_begins(&mut self, header: FrameHeader) -> Result<(), Malformed> {
        self.payload = match (header.kind, &self.block) {
            (HEADERS, None) => {
                self.block = Some(FieldBlock::default());
                let pad_length = header.has(PADDED);
                let priority = if header.has(PRIORITY) {
                    PRIORITY_BYTES
                } else {
                    0
                };
                let fragment = header
                    .length
                    .checked_sub(usize::from(pad_length) + priority)
                    .ok_or(Malformed)?;
                Payload::Fields {
                    pad_length,
                    priority,
                    fragment,
                    ends_block: header.has(END_HEADERS),
                }
            }
            (CONTINUATION, Some(_)) => Payload::Fields {
                pad_length: false,
                priority: 0,
                fragment: header.length,
                ends_block: header.has(END_HEADERS),
            },
            // Nothing may come between the parts of a block, and no part without its start
            // (RFC 9113 section 6.10).
            (CONTINUATION, None) | (_, Some(_)) => return Err(Malformed),
            (_, None) => Payload::Other,
        };
        self.end_block_if_due()
    }

    fn payload(&mut self, bytes: &mut [u8]) -> Result<(), Malformed> {
        let Payload::Fields {
            pad_length,
            priority,
            fragment,
            ..
        } = &mut self.payload
        else {
            return Ok(());
        };
        let mut rest = bytes;
        if *pad_length && let [padding, after @ ..] = rest {
            *pad_length = false;
            *fragment = fragment
                .checked_sub(usize::from(*padding))
                .ok_or(Malformed)?;
            rest = after;
        }
        let skipped = rest.len().min(*priority);
        *priority -= skipped;
        let (_, rest) = rest.split_at_mut(skipped);
        let here = rest.len().min(*fragment);
        *fragment -= here;
        let (fields, _padding) = rest.split_at_mut(here);
        self.block
            .as_mut()
            .map_or(Ok(()), |block| block.rewrite(fields))?;
        self.end_block_if_due()
    }

    fn end_block_if_due(&mut self) -> Result<(), Malformed> {
        if let Payload::Fields {
            pad_length: false,
            priority: 0,
            fragment: 0,
            ends_block,
        } = self.payload
        {
            // What is left of the frame is padding.
            self.payload = Payload::Other;
            if ends_block && self.block.take().is_some_and(|block| !block.is_complete()) {
                return Err(Malformed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
