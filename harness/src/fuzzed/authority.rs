//! The rewriter in front of h2 on Unix sockets: any bytes, cut anywhere.
//!
//! The first byte says how the rest is cut. Whatever comes: no panic, the length stays, and the result does not
//! depend on how the bytes were cut.

use dialback_core::http2::AuthorityRewriter;

pub(super) fn check(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let whole = rewritten(stream, stream.len().max(1));
    let pieces = rewritten(stream, usize::from(*cut).max(1));
    assert_eq!(
        whole, pieces,
        "the result depends on how the bytes were cut"
    );
}

fn rewritten(stream: &[u8], chunk_bytes: usize) -> Vec<u8> {
    let mut rewriter = AuthorityRewriter::new();
    let mut bytes = stream.to_vec();
    for chunk in bytes.chunks_mut(chunk_bytes) {
        rewriter.rewrite(chunk);
    }
    bytes
}
