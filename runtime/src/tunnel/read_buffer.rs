//! Reading a socket without keeping a buffer for it while it is idle.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncRead;

/// Most bytes of one read; what one DATA packet carries between our own halves.
const READ_BYTES: usize = 64 * 1024;
/// What a thread allocates at a time. Small enough that a slice which is kept long pins little beside itself.
const ARENA_BYTES: usize = 128 * 1024;
/// Reads up to this size are copied out, so that a queued keystroke does not pin an arena.
const COPY_UP_TO_BYTES: usize = 4 * 1024;

thread_local! {
    static ARENA: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Reads what a socket has, up to 64 KiB; empty at the end of the stream.
///
/// All sockets of a thread share one buffer, so thousands of idle ones cost nothing.
pub(crate) fn poll_read<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Bytes>> {
    ARENA.with_borrow_mut(|arena| {
        if arena.capacity() < READ_BYTES {
            arena.reserve(ARENA_BYTES);
        }
        let mut space = (&mut *arena).limit(READ_BYTES);
        let read = ready!(tokio_util::io::poll_read_buf(
            Pin::new(socket),
            cx,
            &mut space
        ))?;
        if read > COPY_UP_TO_BYTES {
            return Poll::Ready(Ok(arena.split().freeze()));
        }
        let data = Bytes::copy_from_slice(arena);
        arena.clear();
        Poll::Ready(Ok(data))
    })
}
