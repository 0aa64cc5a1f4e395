//! Walks a field block (RFC 7541) to the values of `:authority` and makes them palatable.

/// The block breaks the rules; the HTTP/2 library will say so to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The index of `:authority` in the static table (RFC 7541 Appendix A).
const AUTHORITY_INDEX: usize = 1;
const AUTHORITY: &[u8] = b":authority";
/// `:authority` in Huffman code (RFC 7541 Appendix B), as it stands in a name.
const AUTHORITY_HUFFMAN: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// Integers above this are refused: a string is never longer than all that a peer may send in headers.
const MAX_INTEGER: usize = 1 << 24;

/// A field block as far as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldBlock {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// A field begins.
    #[default]
    Field,
    /// An integer goes on in the next byte.
    Integer {
        value: usize,
        shift: u32,
        purpose: Purpose,
    },
    /// The length of a name or of a value begins.
    Length(Text),
    /// So many bytes of a name or of a value are left.
    Text {
        left: usize,
        text: Text,
        code: Option<HuffmanCode>,
    },
}

/// What an integer is.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// An indexed field or a change of the table's size: complete by itself.
    Alone,
    /// The index of a literal's name; zero says that the name follows.
    NameIndex,
    /// A length, of a text in Huffman code or not.
    Length { text: Text, huffman: bool },
}

#[derive(Clone, Copy, Debug)]
enum Text {
    /// A name, of which so many bytes are those of `:authority`; `None` once one differs.
    Name {
        matched: Option<usize>,
    },
    Value {
        authority: bool,
    },
}

impl FieldBlock {
    /// Walks the next bytes of the block, and changes those that stand for `%` and `/` in a value of
    /// `:authority`.
    pub(super) fn rewrite(&mut self, fragment: &mut [u8]) -> Result<(), Malformed> {
        let mut rest = fragment;
        while let Some(first) = rest.first().copied() {
            let mut taken = 1;
            match self.state {
                State::Field => self.field(first),
                State::Length(text) => self.length(text, first),
                State::Integer {
                    value,
                    shift,
                    purpose,
                } => self.integer(value, shift, purpose, first)?,
                State::Text { left, text, code } => {
                    taken = left.min(rest.len());
                    self.text(text, code, left, &mut rest[..taken]);
                }
            }
            rest = &mut rest[taken..];
        }
        Ok(())
    }

    /// True between two fields, where a block may end.
    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.state, State::Field)
    }

    /// The first byte of a field (RFC 7541 section 6).
    fn field(&mut self, byte: u8) {
        let (prefix_bits, purpose) = match byte {
            0x80.. => (7, Purpose::Alone),
            0x40.. => (6, Purpose::NameIndex),
            0x20.. => (5, Purpose::Alone),
            _ => (4, Purpose::NameIndex),
        };
        self.integer_begins(byte, prefix_bits, purpose);
    }

    /// The first byte of a string literal (RFC 7541 section 5.2).
    fn length(&mut self, text: Text, byte: u8) {
        let huffman = byte & 0x80 != 0;
        self.integer_begins(byte, 7, Purpose::Length { text, huffman });
    }

    /// A byte of an integer after its first (RFC 7541 section 5.1).
    fn integer(
        &mut self,
        value: usize,
        shift: u32,
        purpose: Purpose,
        byte: u8,
    ) -> Result<(), Malformed> {
        // Seven bits at four places fit any usize.
        if shift > 21 {
            return Err(Malformed);
        }
        let value = value + (usize::from(byte & 0x7f) << shift);
        if value > MAX_INTEGER {
            return Err(Malformed);
        }
        if byte & 0x80 == 0 {
            self.integer_ends(value, purpose);
        } else {
            self.state = State::Integer {
                value,
                shift: shift + 7,
                purpose,
            };
        }
        Ok(())
    }

    fn integer_begins(&mut self, byte: u8, prefix_bits: u32, purpose: Purpose) {
        let mask = (1 << prefix_bits) - 1;
        let value = usize::from(byte) & mask;
        if value < mask {
            self.integer_ends(value, purpose);
        } else {
            self.state = State::Integer {
                value,
                shift: 0,
                purpose,
            };
        }
    }

    fn integer_ends(&mut self, value: usize, purpose: Purpose) {
        self.state = match purpose {
            Purpose::Alone => State::Field,
            Purpose::NameIndex if value == 0 => State::Length(Text::Name { matched: Some(0) }),
            Purpose::NameIndex => State::Length(Text::Value {
                authority: value == AUTHORITY_INDEX,
            }),
            Purpose::Length { text, huffman } => {
                let code = huffman.then(HuffmanCode::default);
                match value {
                    0 => after_text(text, huffman),
                    left => State::Text { left, text, code },
                }
            }
        };
    }

    /// Bytes of a name or of a value, of which `left` are to come, these included.
    fn text(
        &mut self,
        mut text: Text,
        mut code: Option<HuffmanCode>,
        left: usize,
        bytes: &mut [u8],
    ) {
        match &mut text {
            Text::Name { matched } => {
                let name = authority_name(code.is_some());
                *matched = matched.filter(|at| {
                    name.get(*at..)
                        .is_some_and(|expected| expected.starts_with(bytes))
                });
                *matched = matched.map(|at| at + bytes.len());
            }
            Text::Value { authority: true } => match &mut code {
                Some(code) => code.rewrite(bytes),
                None => rewrite_plain(bytes),
            },
            Text::Value { authority: false } => {}
        }
        self.state = match left - bytes.len() {
            0 => after_text(text, code.is_some()),
            left => State::Text { left, text, code },
        };
    }
}

fn after_text(text: Text, huffman: bool) -> State {
    match text {
        Text::Name { matched } => State::Length(Text::Value {
            authority: matched == Some(authority_name(huffman).len()),
        }),
        Text::Value { .. } => State::Field,
    }
}

const fn authority_name(huffman: bool) -> &'static [u8] {
    if huffman {
        AUTHORITY_HUFFMAN
    } else {
        AUTHORITY
    }
}

fn rewrite_plain(bytes: &mut [u8]) {
    for byte in bytes {
        if matches!(byte, b' ' | b'%' | b'/') {
            *byte = b'-';
        }
    }
}

/// How many codes of each length there are, end of string included (RFC 7541 Appendix B).
///
/// The code is canonical, that is, the codes of one length are consecutive numbers and follow the shorter
/// ones: counts are all it takes to find where each code ends.
const CODES_OF_LENGTH: [u32; 31] = [
    0, 0, 0, 0, 0, 10, 26, 32, 6, 0, 5, 3, 2, 6, 2, 3, 0, 0, 0, 3, 8, 13, 26, 29, 12, 4, 15, 19,
    29, 0, 4,
];

/// The bits of a Huffman code as far as they came.
///
/// A code is changed while it passes, since its first bits may be gone with an earlier chunk. The codes are
///
/// ```text
/// 010100 ' '   010101 '%'   010110 '-'   010111 '.'   011000 '/'   011001 '3'
/// ```
///
/// so `0101` is followed by `10` whatever came, unless it was `11`, and thus a blank, which no authority has,
/// becomes `-` together with `%`; and `01100` is followed by `1`, so `/` becomes `3`. Lengths do not change.
#[derive(Clone, Copy, Debug, Default)]
struct HuffmanCode {
    /// The bits.
    code: u32,
    /// How many they are.
    length: usize,
    /// The first code of this length.
    first: u32,
}

impl HuffmanCode {
    fn rewrite(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let mut changed = 0;
            for shift in (0..8).rev() {
                let bit = *byte >> shift & 1;
                changed = changed << 1 | self.take(bit);
            }
            *byte = changed;
        }
    }

    /// Takes a bit and gives the one to put in its place.
    fn take(&mut self, bit: u8) -> u8 {
        let changed = match (self.length, self.code, bit) {
            (4, 0b0101, 0) | (5, 0b0_1100, 0) => 1,
            (5, 0b0_1010, _) => 0,
            _ => bit,
        };
        self.length += 1;
        self.first <<= 1;
        self.code = self.code << 1 | u32::from(bit);
        match CODES_OF_LENGTH.get(self.length) {
            Some(count) if self.code - self.first >= *count => self.first += count,
            // A code has ended; past 30 bits there is none, and the library will refuse the text.
            Some(_) | None => *self = Self::default(),
        }
        changed
    }
}

#[cfg(test)]
pub(super) mod tests;
