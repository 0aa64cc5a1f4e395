use quickcheck::quickcheck;

use super::super::frames::tests::{client_stream, frame};
use super::super::frames::{ACK, DATA, PING};
use super::super::hpack::tests::{huffman, string};
use super::*;

/// A block as a Go client sends it to a Unix socket: the authority Huffman-coded and indexed.
fn go_block(authority: &str) -> Vec<u8> {
    [
        &[0x83, 0x86, 0x44],
        &*string(false, b"/ProxyService/Proxy"),
        &[0x41],
        &*string(true, &huffman(authority)),
        &[0x5f],
        &*string(true, &huffman("application/grpc")),
        &[0x40],
        &*string(true, &huffman("te")),
        &*string(false, b"trailers"),
    ]
    .concat()
}

/// The same with the authority raw and not indexed.
fn raw_block(authority: &str) -> Vec<u8> {
    [
        &[0x3f, 0xe1, 0x1f, 0x01],
        &*string(false, authority.as_bytes()),
        &[0xbe, 0x83],
    ]
    .concat()
}

/// A connection whose every kind of block carries `go` and `raw` as authority.
fn stream(go: &str, raw: &str) -> Vec<u8> {
    let (go, raw) = (go_block(go), raw_block(raw));
    let prioritised = [&[0, 0, 0, 3, 16], &*raw].concat();
    let padded = [&[4], &*go, b"%%//"].concat();
    let both = [&[2, 0, 0, 0, 3, 16], &*raw, b"%/"].concat();
    let mut frames = vec![
        frame(4, 0, &[]),
        frame(HEADERS, END_HEADERS, &go),
        frame(DATA, 0, b"\x41\x03%2F/%/%/"),
        frame(HEADERS, END_HEADERS | PRIORITY, &prioritised),
        frame(PING, ACK, b"%%%%////"),
        frame(HEADERS, END_HEADERS | PADDED, &padded),
        frame(HEADERS, END_HEADERS | PADDED | PRIORITY, &both),
    ];
    // A block in three parts, cut everywhere, the second one sometimes empty.
    for cut in 0..go.len() {
        frames.push(frame(HEADERS, 0, &go[..cut]));
        frames.push(frame(CONTINUATION, 0, &go[cut..cut]));
        frames.push(frame(CONTINUATION, END_HEADERS, &go[cut..]));
    }
    frames.push(frame(HEADERS, END_HEADERS, &[]));
    frames.push(frame(HEADERS, END_HEADERS, &raw));
    client_stream(&frames)
}

fn rewritten(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    AuthorityRewriter::new().rewrite(&mut bytes);
    bytes
}

/// SETTINGS, WINDOW_UPDATE and the HEADERS of a call, recorded from Go 1.26's `net/http` with the authority
/// `%2Frun%2Fs.sock`.
const GO_CLIENT: [&[u8]; 3] = [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
      \x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x04\x00\x40\x00\x00\
      \x00\x05\x00\x00\x40\x00\x00\x06\x00\xa0\x00\x00\
      \x00\x00\x04\x08\x00\x00\x00\x00\x00\x40\x00\x00\x00\
      \x00\x00\x37\x01\x04\x00\x00\x00\x01",
    b"\x41\x8b\x54\x58\x6c\xb6\xa5\x45\x85\x0b\xa0\xe4\xeb",
    b"\x83\x45\x8f\x63\x5d\x87\xf3\xeb\x71\x6c\xee\x62\x15\x8d\x76\x1f\xcf\xaf\x86\
      \x5c\x01\x31\x50\x83\x9b\xd9\xab\x7a\x8d\xc4\x75\xa7\x4a\x6b\x58\x94\x18\xb5\x25\x81\x2e\x0f",
];

#[test]
fn what_a_go_client_sends_is_rewritten() {
    let [before, _, after] = GO_CLIENT;
    let authority: &[u8] = b"\x41\x8b\x58\x58\x6c\xb6\xa5\x85\x85\x0b\xa0\xe4\xeb";
    assert_eq!(
        rewritten(&GO_CLIENT.concat()),
        [before, authority, after].concat()
    );
}

#[test]
fn all_authorities_change_and_nothing_else() {
    assert_eq!(
        rewritten(&stream("%2Frun%2Fs.sock", "/run/s%20.sock")),
        stream("-2Frun-2Fs.sock", "-run-s-20.sock")
    );
}

#[test]
fn good_authorities_stay() {
    let good = stream("127.0.0.1:8090", "localhost");
    assert_eq!(rewritten(&good), good);
}

#[test]
fn any_split_gives_the_same() {
    let bytes = stream("%2Frun%2Fs.sock", "/run/s%20.sock");
    let whole = rewritten(&bytes);
    for split in 0..=bytes.len() {
        let mut parts = bytes.clone();
        let (first, second) = parts.split_at_mut(split);
        let mut rewriter = AuthorityRewriter::new();
        rewriter.rewrite(first);
        rewriter.rewrite(second);
        assert_eq!(parts, whole, "split at {split}");
    }
    for size in 1..20 {
        let mut parts = bytes.clone();
        let mut rewriter = AuthorityRewriter::new();
        for chunk in parts.chunks_mut(size) {
            rewriter.rewrite(chunk);
        }
        assert_eq!(parts, whole, "chunks of {size}");
    }
}

#[test]
fn after_a_fault_all_passes() {
    let good = frame(HEADERS, END_HEADERS, &raw_block("/x"));
    for bad in [
        // CONTINUATION without HEADERS, and HEADERS or DATA before the block ended.
        vec![frame(CONTINUATION, END_HEADERS, &[])],
        vec![frame(HEADERS, 0, &[0x83]), frame(HEADERS, END_HEADERS, &[])],
        vec![frame(HEADERS, 0, &[0x83]), frame(DATA, 0, &[])],
        // Padding or priority beyond the frame.
        vec![frame(HEADERS, END_HEADERS | PADDED, &[])],
        vec![frame(HEADERS, END_HEADERS | PADDED, &[3, 0x83, 0])],
        vec![frame(HEADERS, END_HEADERS | PRIORITY, &[0; 4])],
        // A block that ends within a field.
        vec![frame(HEADERS, END_HEADERS, &[0x41, 5])],
        // An endless integer.
        vec![frame(HEADERS, END_HEADERS, &[0xff; 20])],
    ] {
        let frames = [bad, vec![good.clone()]].concat();
        let bytes = client_stream(&frames);
        assert_eq!(rewritten(&bytes), bytes, "{frames:?}");
    }
    let without_preface = &client_stream(std::slice::from_ref(&good))[1..];
    assert_eq!(rewritten(without_preface), without_preface);
    assert_ne!(
        rewritten(&client_stream(std::slice::from_ref(&good))),
        client_stream(&[good])
    );
}

quickcheck! {
    fn any_bytes_any_split_end_alike(frames: Vec<(u8, u8, Vec<u8>)>, tail: Vec<u8>, cut: usize) -> bool {
        let frames: Vec<_> = frames
            .iter()
            .map(|(kind, flags, payload)| frame(kind % 10, *flags, payload))
            .chain([tail])
            .collect();
        let bytes = client_stream(&frames);
        let mut parts = bytes.clone();
        let cut = cut % bytes.len();
        let (first, second) = parts.split_at_mut(cut);
        let mut rewriter = AuthorityRewriter::new();
        rewriter.rewrite(first);
        rewriter.rewrite(second);
        parts == rewritten(&bytes) && parts.len() == bytes.len()
    }

    fn any_header_blocks_any_split_end_alike(blocks: Vec<Vec<u8>>, flags: u8, cut: usize) -> bool {
        let frames: Vec<_> = blocks
            .iter()
            .map(|block| frame(HEADERS, flags | END_HEADERS, block))
            .collect();
        let bytes = client_stream(&frames);
        let mut parts = bytes.clone();
        let (first, second) = parts.split_at_mut(cut % bytes.len());
        let mut rewriter = AuthorityRewriter::new();
        rewriter.rewrite(first);
        rewriter.rewrite(second);
        parts == rewritten(&bytes)
    }
}
