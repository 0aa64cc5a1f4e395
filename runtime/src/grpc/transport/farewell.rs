//! The GOAWAY that tells a client what it did wrong.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dialback_core::http2::TooManyPings;
use tokio::io::AsyncWrite;

/// Adds a debug text to the GOAWAY with which h2 closes a connection, since h2 takes none.
///
/// The text matters: a Go client that reads `too_many_pings` doubles its keep-alive time and connects anew,
/// instead of being sent away over and over (grpc-go, internal/transport/http2_client.go, `setGoAwayReason`).
#[derive(Debug, Default)]
pub(super) struct Farewell {
    /// What is left of the frame that goes out in the place of h2's.
    ours: Option<Bytes>,
    done: bool,
}

/// A GOAWAY without text: frame header, last stream, error code.
const GOAWAY_BYTES: usize = 17;
const GOAWAY_HEAD: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0];
const ERROR_CODE: [u8; 4] = TooManyPings::ERROR_CODE.to_be_bytes();

impl Farewell {
    /// Writes what h2 has to write once it was told to close the connection for too many PINGs.
    ///
    /// Nothing follows its GOAWAY, so that is what the buffer ends in. What comes before goes out first and by
    /// itself, and the GOAWAY is then replaced.
    pub(super) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        io: &mut T,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.done {
            return Pin::new(io).poll_write(cx, buf);
        }
        if self.ours.is_none() {
            let Some((before, last_stream)) = split_goaway(buf) else {
                return Pin::new(io).poll_write(cx, buf);
            };
            if !before.is_empty() {
                return Pin::new(io).poll_write(cx, before);
            }
            self.ours = Some(goaway(last_stream));
        }
        if let Some(ours) = &mut self.ours {
            while !ours.is_empty() {
                let written = ready!(Pin::new(&mut *io).poll_write(cx, ours))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                ours.advance(written);
            }
        }
        self.done = true;
        Poll::Ready(Ok(buf.len()))
    }
}

/// What comes before the GOAWAY at the end of `buf`, and its last stream.
fn split_goaway(buf: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = buf.len().checked_sub(GOAWAY_BYTES)?;
    let (before, goaway) = buf.split_at(at);
    let last_stream = goaway
        .strip_prefix(GOAWAY_HEAD)?
        .strip_suffix(&ERROR_CODE)?;
    Some((before, last_stream))
}

fn goaway(last_stream: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(GOAWAY_BYTES + TooManyPings::DEBUG_DATA.len());
    frame.put_uint((8 + TooManyPings::DEBUG_DATA.len()) as u64, 3);
    frame.put_slice(&GOAWAY_HEAD[3..]);
    frame.put_slice(last_stream);
    frame.put_slice(&ERROR_CODE);
    frame.put_slice(TooManyPings::DEBUG_DATA);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_that_goaway_is_replaced() {
        let theirs = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 11];
        assert_eq!(split_goaway(&theirs), Some((&[][..], &[0, 0, 0, 5][..])));
        let preceded = [&[1, 2, 3][..], &theirs].concat();
        assert_eq!(
            split_goaway(&preceded),
            Some((&[1, 2, 3][..], &[0, 0, 0, 5][..]))
        );
        assert_eq!(split_goaway(&theirs[1..]), None);
        assert_eq!(split_goaway(&[]), None);
        let mut other = theirs;
        other[16] = 2;
        assert_eq!(split_goaway(&other), None);
    }

    #[test]
    fn the_text_is_added() {
        let ours = goaway(&[0, 0, 0, 5]);
        assert_eq!(ours[..9], [0, 0, 22, 7, 0, 0, 0, 0, 0]);
        assert_eq!(ours[9..17], [0, 0, 0, 5, 0, 0, 0, 11]);
        assert_eq!(&ours[17..], b"too_many_pings");
    }
}
