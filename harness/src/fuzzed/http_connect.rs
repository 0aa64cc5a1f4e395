//! HTTP-CONNECT requests: any bytes, arriving in any pieces.
//!
//! The first byte says how the rest is cut. Whatever comes: no panic, and the same answers and the same tunnel,
//! however the bytes were cut.

use dialback_core::connect::{Parsed, RequestParser};

const DATE: &str = "Mon, 23 Nov 2026 05:04:08 GMT";

/// What a frontend's connection came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Served {
    /// What was answered, and whether more could follow.
    answers: Vec<(Vec<u8>, bool)>,
    /// The destination, the tunnel's first bytes, and whether the agent is to be named.
    tunnel: Option<(String, Vec<u8>, bool)>,
}

pub(super) fn check(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let whole = serve(stream, stream.len().max(1));
    let pieces = serve(stream, usize::from(*cut).max(1));
    assert_eq!(
        whole, pieces,
        "the result depends on how the bytes were cut"
    );
}

fn serve(stream: &[u8], chunk_bytes: usize) -> Served {
    let mut parser = RequestParser::new();
    let mut served = Served::default();
    for chunk in stream.chunks(chunk_bytes) {
        if let Some((_, early, _)) = &mut served.tunnel {
            early.extend_from_slice(chunk);
            continue;
        }
        if served.answers.last().is_some_and(|(_, go_on)| !go_on) {
            break;
        }
        parser.push(chunk);
        loop {
            match parser.parse(DATE) {
                Parsed::Incomplete => break,
                Parsed::Connect {
                    authority,
                    early,
                    asks_for_agent,
                    ..
                } => {
                    served.tunnel = Some((authority, early.to_vec(), asks_for_agent));
                    break;
                }
                Parsed::Reject {
                    response,
                    keep_alive,
                    ..
                } => {
                    assert!(response.starts_with(b"HTTP/1."), "no answer of HTTP");
                    served.answers.push((response.to_vec(), keep_alive));
                    if !keep_alive {
                        break;
                    }
                }
            }
        }
    }
    served
}
