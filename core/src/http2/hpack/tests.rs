#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use quickcheck::{Arbitrary, Gen, quickcheck};

use super::*;

/// The characters with codes of 5, 6, 7 and 8 bits, in the order of their codes (RFC 7541 Appendix B).
const CHARACTERS: [(u32, &str); 4] = [
    (5, "012aceiost"),
    (6, " %-./3456789=A_bdfghlmnpru"),
    (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, "&*,;XZ"),
];

/// Characters with their codes, as bits.
fn codes() -> Vec<(char, String)> {
    let mut code = 0_u32;
    let mut codes = Vec::new();
    for (length, characters) in CHARACTERS {
        for character in characters.chars() {
            let width = usize::try_from(length).unwrap();
            codes.push((character, format!("{code:0width$b}")));
            code += 1;
        }
        code <<= 1;
    }
    codes
}

pub(in crate::http2) fn huffman(text: &str) -> Vec<u8> {
    let codes = codes();
    let mut bits: String = text
        .chars()
        .map(|wanted| {
            let found = codes.iter().find(|(character, _)| *character == wanted);
            found.unwrap().1.as_str()
        })
        .collect();
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    bits.as_bytes()
        .chunks(8)
        .map(|byte| u8::from_str_radix(str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

fn decode_huffman(bytes: &[u8]) -> String {
    let codes = codes();
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let mut text = String::new();
    let mut rest = bits.as_str();
    while let Some((character, code)) = codes.iter().find(|(_, code)| rest.starts_with(code)) {
        text.push(*character);
        rest = &rest[code.len()..];
    }
    assert!(
        rest.len() < 8 && !rest.contains('0'),
        "only padding is left"
    );
    text
}

/// A string literal of fewer than 127 bytes.
pub(in crate::http2) fn string(huffman: bool, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    assert!(length < 127);
    [&[length | if huffman { 0x80 } else { 0 }], bytes].concat()
}

fn rewritten(block: &[u8]) -> Vec<u8> {
    let mut bytes = block.to_vec();
    let mut state = FieldBlock::default();
    assert_eq!(state.rewrite(&mut bytes), Ok(()));
    assert!(state.is_complete());
    bytes
}

/// Rewrites byte by byte.
fn rewritten_slowly(block: &[u8]) -> Vec<u8> {
    let mut state = FieldBlock::default();
    let mut bytes = block.to_vec();
    for byte in bytes.chunks_mut(1) {
        assert_eq!(state.rewrite(byte), Ok(()));
    }
    assert!(state.is_complete());
    bytes
}

#[test]
fn the_test_knows_the_code() {
    // RFC 7541 C.4.1, and what h2 encodes.
    assert_eq!(
        huffman("www.example.com"),
        [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff
        ]
    );
    assert_eq!(huffman(":authority"), AUTHORITY_HUFFMAN);
    assert_eq!(CODES_OF_LENGTH.iter().sum::<u32>(), 257);
}

#[test]
fn every_kind_of_literal_is_rewritten() {
    let path = b"%2Frun/s.sock".as_slice();
    let wanted = b"-2Frun-s.sock".as_slice();
    // With incremental indexing, without, and never indexed.
    for kind in [0x41, 0x01, 0x11] {
        let field = |value: &[u8]| [&[kind], &*string(false, value)].concat();
        assert_eq!(rewritten(&field(path)), field(wanted));
    }
    for kind in [0x40, 0x00, 0x10] {
        for name in [string(false, AUTHORITY), string(true, AUTHORITY_HUFFMAN)] {
            let field = |value: &[u8]| [&[kind], &*name, &*string(false, value)].concat();
            assert_eq!(rewritten(&field(path)), field(wanted));
            assert_eq!(rewritten_slowly(&field(path)), field(wanted));
        }
    }
}

#[test]
fn go_huffman_paths_are_rewritten() {
    let field = |value: &str| [&[0x41], &*string(true, &huffman(value))].concat();
    for (path, wanted) in [
        ("%2Frun%2Fs.sock", "-2Frun-2Fs.sock"),
        ("/run/s.sock", "3run3s.sock"),
        ("a b", "a-b"),
        ("%", "-"),
        ("", ""),
        ("127.0.0.1:8090", "127.0.0.1:8090"),
    ] {
        assert_eq!(rewritten(&field(path)), field(wanted), "{path}");
        assert_eq!(rewritten_slowly(&field(path)), field(wanted), "{path}");
    }
}

#[test]
fn other_fields_stay() {
    let path = string(false, b"/AgentService/%2F");
    let value = string(true, &huffman("a%2Fb/c"));
    for field in [
        // :method POST and :scheme http, a size update, a field of the dynamic table with a long index.
        vec![0x83, 0x86, 0x3f, 0xe1, 0x1f, 0xff, 0x80, 0x01],
        [&[0x44], &*path].concat(),
        [&[0x04], &*value].concat(),
        // A name with an index beyond the prefix.
        [&[0x0f, 0x03], &*path].concat(),
        [&[0x40], &*string(false, b":authoritz"), &*path].concat(),
        [&[0x40], &*string(false, b":authorit"), &*path].concat(),
        [&[0x40], &*string(false, b":authority2"), &*path].concat(),
        [&[0x40], &*string(false, b""), &*path].concat(),
        [&[0x40], &*string(true, AUTHORITY), &*path].concat(),
        [&[0x40], &*string(false, AUTHORITY_HUFFMAN), &*path].concat(),
    ] {
        assert_eq!(rewritten(&field), field);
        assert_eq!(rewritten_slowly(&field), field);
    }
}

#[test]
fn an_authority_between_other_fields_is_found() {
    let block = |authority: &[u8]| {
        [
            &[0x83, 0x86, 0x44],
            &*string(false, b"/ProxyService/Proxy"),
            &[0x41],
            &*string(false, authority),
            &[0x5f],
            &*string(false, b"application/grpc"),
        ]
        .concat()
    };
    assert_eq!(rewritten(&block(b"/s%sock")), block(b"-s-sock"));
}

#[test]
fn long_values_have_long_lengths() {
    // 127 + 0xad + 0x01 * 128 - 128 = 300.
    let field = |byte: u8| [&[0x41, 0x7f, 0xad, 0x01][..], &[byte; 300], &[0x83]].concat();
    assert_eq!(rewritten(&field(b'%')), field(b'-'));
    assert_eq!(rewritten_slowly(&field(b'/')), field(b'-'));
}

#[test]
fn endless_integers_are_refused() {
    for block in [
        [&[0x7f][..], &[0xff; 10]].concat(),
        [&[0x7f][..], &[0x80; 10], &[0x01]].concat(),
        vec![0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ] {
        let mut bytes = block.clone();
        assert_eq!(FieldBlock::default().rewrite(&mut bytes), Err(Malformed));
        assert_eq!(bytes, block);
    }
}

#[test]
fn a_block_that_ends_within_a_field_is_incomplete() {
    let field = [&[0x41], &*string(false, b"/x")].concat();
    for end in 1..field.len() {
        let mut state = FieldBlock::default();
        assert_eq!(state.rewrite(&mut field[..end].to_vec()), Ok(()));
        assert!(!state.is_complete(), "after {end}");
    }
}

/// A text of characters that the tests have codes for.
#[derive(Clone, Debug)]
struct Authority(String);

impl Arbitrary for Authority {
    fn arbitrary(g: &mut Gen) -> Self {
        let codes = codes();
        let length = usize::arbitrary(g) % 80;
        Self((0..length).map(|_| g.choose(&codes).unwrap().0).collect())
    }
}

quickcheck! {
    fn huffman_values_change_only_where_they_have_to(authority: Authority) -> bool {
        let mut bytes = huffman(&authority.0);
        HuffmanCode::default().rewrite(&mut bytes);
        decode_huffman(&bytes) == authority.0.replace([' ', '%'], "-").replace('/', "3")
    }

    fn any_bytes_any_split_end_alike(block: Vec<u8>, cuts: Vec<u8>) -> bool {
        let mut whole = block.clone();
        let whole_result = FieldBlock::default().rewrite(&mut whole);
        let mut parts = block;
        let mut state = FieldBlock::default();
        let mut result = Ok(());
        let mut rest = parts.as_mut_slice();
        for cut in cuts.into_iter().chain([u8::MAX]) {
            let end = if cut == u8::MAX { rest.len() } else { usize::from(cut).min(rest.len()) };
            let (now, after) = rest.split_at_mut(end);
            rest = after;
            if result.is_ok() {
                result = state.rewrite(now);
            }
        }
        parts == whole && result == whole_result
    }
}
