//! Finds the frames in one direction of an HTTP/2 connection (RFC 9113 section 4.1).

/// What a client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PING: u8 = 0x6;
pub(super) const CONTINUATION: u8 = 0x9;

/// The flag of PING that marks an answer.
pub(super) const ACK: u8 = 0x1;

/// A frame's header, but for the stream, which nobody here asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Of the payload, in bytes.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
}

impl FrameHeader {
    pub(super) const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What the first bytes of a chunk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The end of a frame's header; its payload follows.
    Header(FrameHeader),
    /// Payload of the frame whose header came last.
    Payload,
    /// Part of the preface or of a header.
    Partial,
    /// No HTTP/2, as this and all that follows is.
    Foreign,
}

/// Walks from frame to frame, wherever chunks begin and end; payloads are skipped, not read.
#[derive(Clone, Debug)]
pub(super) struct FrameWalker {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Preface {
        at: usize,
    },
    Header {
        bytes: [u8; HEADER_BYTES],
        at: usize,
    },
    Payload {
        left: usize,
    },
    Foreign,
}

const NEXT_HEADER: State = State::Header {
    bytes: [0; HEADER_BYTES],
    at: 0,
};

impl FrameWalker {
    /// For what a client sends, which begins with the preface.
    pub(super) const fn client() -> Self {
        Self {
            state: State::Preface { at: 0 },
        }
    }

    /// For what a server sends.
    pub(super) const fn server() -> Self {
        Self { state: NEXT_HEADER }
    }

    /// Takes from the start of `bytes`: how many, and what they are. Takes at least one, if there is one.
    pub(super) fn step(&mut self, bytes: &[u8]) -> (usize, Step) {
        match &mut self.state {
            State::Preface { at } => {
                let expected = &PREFACE[*at..];
                let taken = expected.len().min(bytes.len());
                if bytes[..taken] != expected[..taken] {
                    self.state = State::Foreign;
                    return (bytes.len(), Step::Foreign);
                }
                *at += taken;
                if *at == PREFACE.len() {
                    self.state = NEXT_HEADER;
                }
                (taken, Step::Partial)
            }
            State::Header { bytes: header, at } => {
                let missing = &mut header[*at..];
                let taken = missing.len().min(bytes.len());
                missing[..taken].copy_from_slice(&bytes[..taken]);
                *at += taken;
                if *at < HEADER_BYTES {
                    return (taken, Step::Partial);
                }
                let [a, b, c, kind, flags, ..] = *header;
                let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.state = match length {
                    0 => NEXT_HEADER,
                    left => State::Payload { left },
                };
                let header = FrameHeader {
                    length,
                    kind,
                    flags,
                };
                (taken, Step::Header(header))
            }
            State::Payload { left } => {
                let taken = (*left).min(bytes.len());
                *left -= taken;
                if *left == 0 {
                    self.state = NEXT_HEADER;
                }
                (taken, Step::Payload)
            }
            State::Foreign => (bytes.len(), Step::Foreign),
        }
    }

    /// Calls `visit` for every frame whose header ends within `bytes`.
    pub(super) fn for_each_header(&mut self, bytes: &[u8], mut visit: impl FnMut(FrameHeader)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, step) = self.step(rest);
            rest = &rest[taken..];
            if let Step::Header(header) = step {
                visit(header);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use quickcheck::quickcheck;

    use super::*;

    /// A frame on stream 1.
    pub(in crate::http2) fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("a payload of a test fits");
        let [_, a, b, c] = length.to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// What a client sends: the preface, then frames.
    pub(in crate::http2) fn client_stream(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE.to_vec(), frames.concat()].concat()
    }

    fn headers(walker: &mut FrameWalker, chunks: &[&[u8]]) -> Vec<(usize, u8)> {
        let mut found = Vec::new();
        for chunk in chunks {
            walker.for_each_header(chunk, |header| found.push((header.length, header.kind)));
        }
        found
    }

    #[test]
    fn frames_are_found_at_every_split() {
        let stream = client_stream(&[
            frame(4, 0, &[]),
            frame(HEADERS, 4, &[1, 2, 3]),
            frame(DATA, 0, &[0; 20]),
            frame(PING, 0, &[0; 8]),
        ]);
        let expected = [(0, 4), (3, HEADERS), (20, DATA), (8, PING)];
        for split in 0..=stream.len() {
            let (first, second) = stream.split_at(split);
            let found = headers(&mut FrameWalker::client(), &[first, second]);
            assert_eq!(found, expected, "split at {split}");
        }
        let found = headers(&mut FrameWalker::server(), &[&stream[PREFACE.len()..]]);
        assert_eq!(found, expected);
    }

    #[test]
    fn without_the_preface_nothing_is_a_frame() {
        let mut stream = client_stream(&[frame(PING, 0, &[0; 8])]);
        stream[23] = b'x';
        assert_eq!(headers(&mut FrameWalker::client(), &[&stream]), []);
    }

    quickcheck! {
        fn any_split_finds_the_same(bytes: Vec<u8>, split: u8) -> bool {
            let split = usize::from(split).min(bytes.len());
            let (first, second) = bytes.split_at(split);
            headers(&mut FrameWalker::server(), &[first, second])
                == headers(&mut FrameWalker::server(), &[&bytes])
        }
    }
}
