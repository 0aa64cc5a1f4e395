//! Fewer, larger writes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::grpc::activity::Activity;

/// Writes up to this size are copied behind each other; larger ones are passed on as they are.
const COPY_UP_TO: usize = 8 * 1024;
/// So much waits at most; one write more sends it.
const WAITING_BYTES: usize = 64 * 1024;
/// An empty buffer larger than this is given back, so that quiet connections cost little.
const KEPT_BYTES: usize = 4 * 1024;

/// A byte stream whose small writes wait for each other within one poll of the connection.
///
/// h2 writes and flushes each DATA frame of more than 256 bytes by itself, which costs a system call, and under
/// TLS a record, for every message. While the connection holds writes back ([`Activity::hold_writes`]) the
/// flushes in between do nothing; the one at the end of its turn counts.
#[derive(Debug)]
pub(crate) struct Coalesced<T> {
    io: T,
    activity: Arc<Activity>,
    waiting: BytesMut,
}

impl<T> Coalesced<T> {
    pub(crate) fn new(io: T, activity: Arc<Activity>) -> Self {
        Self {
            io,
            activity,
            waiting: BytesMut::new(),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Coalesced<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> Coalesced<T> {
    /// Writes out what waits.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        if self.waiting.capacity() > KEPT_BYTES {
            self.waiting = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Coalesced<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let length = bufs.iter().map(|buf| buf.len()).sum();
        this.activity.set_unflushed(true);
        if length <= COPY_UP_TO && this.activity.holds_writes() {
            if this.waiting.len() + length > WAITING_BYTES {
                ready!(this.poll_drain(cx))?;
            }
            for buf in bufs {
                this.waiting.extend_from_slice(buf);
            }
            return Poll::Ready(Ok(length));
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.holds_writes() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.activity.set_unflushed(false);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use quickcheck::quickcheck;

    use super::*;

    /// Keeps what is written, each write by itself; takes `room` bytes at a time and none in between.
    #[derive(Debug)]
    struct Recorder {
        writes: Vec<Vec<u8>>,
        flushes: usize,
        room: usize,
        ready: bool,
    }

    impl AsyncWrite for Recorder {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.ready = !self.ready;
            if self.room < usize::MAX && self.ready {
                return Poll::Pending;
            }
            let taken = buf.len().min(self.room);
            self.writes.push(buf[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn recorder(room: usize) -> (Arc<Activity>, Coalesced<Recorder>) {
        let activity = Arc::new(Activity::default());
        let recorder = Recorder {
            writes: Vec::new(),
            flushes: 0,
            room,
            ready: false,
        };
        let io = Coalesced::new(recorder, Arc::clone(&activity));
        (activity, io)
    }

    fn poll<O>(mut step: impl FnMut(&mut Context<'_>) -> Poll<io::Result<O>>) -> O {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..1_000_000 {
            if let Poll::Ready(result) = step(&mut cx) {
                return result.expect("a recorder does not fail");
            }
        }
        panic!("no progress");
    }

    fn write(io: &mut Coalesced<Recorder>, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = poll(|cx| Pin::new(&mut *io).poll_write(cx, rest));
            rest = &rest[written..];
        }
    }

    fn flush(io: &mut Coalesced<Recorder>) {
        poll(|cx| Pin::new(&mut *io).poll_flush(cx));
    }

    #[test]
    fn small_writes_become_one() {
        let (activity, mut io) = recorder(usize::MAX);
        activity.hold_writes(true);
        for part in ["a", "bc", "def"] {
            write(&mut io, part.as_bytes());
            flush(&mut io);
        }
        assert!(io.io.writes.is_empty());
        assert!(activity.unflushed());
        activity.hold_writes(false);
        flush(&mut io);
        assert_eq!(io.io.writes, [b"abcdef"]);
        assert_eq!(io.io.flushes, 1);
        assert!(!activity.unflushed());
    }

    #[test]
    fn a_large_write_is_not_copied_and_keeps_its_place() {
        let (activity, mut io) = recorder(usize::MAX);
        activity.hold_writes(true);
        write(&mut io, b"first");
        write(&mut io, &[7; COPY_UP_TO + 1]);
        assert_eq!(io.io.writes[0], b"first");
        assert_eq!(io.io.writes[1].len(), COPY_UP_TO + 1);
        write(&mut io, b"last");
        poll(|cx| Pin::new(&mut io).poll_shutdown(cx));
        assert_eq!(io.io.writes[2], b"last");
    }

    #[test]
    fn what_waits_is_bounded() {
        let (activity, mut io) = recorder(usize::MAX);
        activity.hold_writes(true);
        for _ in 0..100 {
            write(&mut io, &[1; 1000]);
            assert!(io.waiting.len() <= WAITING_BYTES);
        }
        assert_eq!(io.io.writes.len(), 1);
        activity.hold_writes(false);
        flush(&mut io);
        assert!(io.waiting.capacity() <= KEPT_BYTES);
    }

    #[test]
    fn without_holding_every_write_goes_out() {
        let (_, mut io) = recorder(usize::MAX);
        write(&mut io, b"one");
        write(&mut io, b"two");
        assert_eq!(io.io.writes, [b"one", b"two"]);
    }

    quickcheck! {
        fn bytes_stay_in_order(steps: Vec<(u16, bool, bool)>, room: u16) -> bool {
            let (activity, mut io) = recorder(usize::from(room % 3000) + 1);
            let mut expected = Vec::new();
            for (number, (length, hold, flushes)) in steps.into_iter().enumerate() {
                activity.hold_writes(hold);
                let bytes = vec![number as u8; usize::from(length % 10_000)];
                write(&mut io, &bytes);
                expected.extend(bytes);
                if flushes {
                    flush(&mut io);
                }
                assert!(io.waiting.len() <= WAITING_BYTES);
            }
            activity.hold_writes(false);
            flush(&mut io);
            io.io.writes.concat() == expected
        }
    }
}
