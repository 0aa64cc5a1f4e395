//! Moves bytes between one socket and one stream of a tunnel.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite};

use super::read_buffer::poll_read;

/// Chunks taken from the tunnel at a time, for one vectored write.
const BATCH_CHUNKS: usize = 16;
/// Bytes taken from the tunnel at a time; what is taken counts as read by the socket.
const BATCH_BYTES: usize = 128 * 1024;
/// Turns after which a busy socket lets other tasks run.
const TURNS: usize = 16;

/// A stream of a tunnel, as its socket's task sees it.
pub(crate) trait Port {
    /// Whether the socket may be read; if not, the task is woken when it may.
    fn wants_data(&mut self, cx: &mut Context<'_>) -> bool;

    /// Bytes read from the socket.
    fn push(&mut self, data: Bytes);

    /// What is to happen with the socket next; on `None` the task is woken when that changes.
    fn next(&mut self, cx: &Context<'_>) -> Option<PortOutput>;

    /// The socket must be cut even in the middle of a write.
    fn is_aborted(&self) -> bool;

    /// Reading ended: `Ok` at the peer's end. Returns whether the pump goes on writing.
    fn read_ended(&mut self, end: io::Result<()>) -> bool;

    /// All that was taken with [`Port::next`] has been written.
    fn written(&mut self);

    /// Writing failed. Returns whether the pump goes on reading.
    fn write_failed(&mut self, error: io::Error) -> bool;
}

/// What a tunnel wants of a socket.
#[derive(Debug)]
pub(crate) enum PortOutput {
    Write(Bytes),
    /// All was written and nothing follows: end the sending direction, and read on.
    Shutdown,
    /// All was written: close in order.
    Close,
    /// Cut, once all was written.
    Abort,
}

/// How a socket is to be let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PumpEnd {
    /// Closed in order, its sending side already shut down.
    Closed,
    /// To be cut, so that the peer sees an error.
    Aborted,
}

/// The state of a socket's task.
#[derive(Debug)]
pub(crate) struct Pump {
    reading: bool,
    writing: bool,
    closing: bool,
    /// To be cut once what came before is written.
    aborting: bool,
    /// The sending direction is to be ended once all is written.
    shutting_down: bool,
    unflushed: bool,
    chunks: VecDeque<Bytes>,
}

impl Pump {
    pub(crate) fn new() -> Self {
        Self {
            reading: true,
            writing: true,
            closing: false,
            aborting: false,
            shutting_down: false,
            unflushed: false,
            chunks: VecDeque::new(),
        }
    }

    /// Moves bytes both ways until the tunnel or the port ends it.
    pub(crate) fn poll<S, P>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
        port: &mut P,
    ) -> Poll<PumpEnd>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        P: Port,
    {
        for _ in 0..TURNS {
            let wrote = self.poll_write(cx, socket, port);
            if let Poll::Ready(Some(end)) = wrote {
                return Poll::Ready(end);
            }
            let read = self.poll_read(cx, socket, port);
            if let Poll::Ready(Some(end)) = read {
                return Poll::Ready(end);
            }
            if wrote.is_pending() && read.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One turn towards the socket; `Ready(None)` when it moved something.
    fn poll_write<S, P>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
        port: &mut P,
    ) -> Poll<Option<PumpEnd>>
    where
        S: AsyncWrite + Unpin,
        P: Port,
    {
        self.refill(cx, port);
        if self.chunks.is_empty() && self.closing {
            // What could not be sent in order is not worth more waiting: the socket is closed either way.
            let _ = ready!(Pin::new(socket).poll_shutdown(cx));
            return Poll::Ready(Some(PumpEnd::Closed));
        }
        if port.is_aborted() || self.aborting && self.chunks.is_empty() && !self.unflushed {
            return Poll::Ready(Some(PumpEnd::Aborted));
        }
        let step = if !self.chunks.is_empty() && self.writing {
            self.write_chunks(cx, socket)
        } else if self.unflushed {
            Pin::new(socket)
                .poll_flush(cx)
                .map_ok(|()| self.unflushed = false)
        } else if self.shutting_down {
            Pin::new(socket)
                .poll_shutdown(cx)
                .map_ok(|()| self.shutting_down = false)
        } else {
            return Poll::Pending;
        };
        match ready!(step) {
            Ok(()) => {
                if self.chunks.is_empty() && !self.unflushed {
                    port.written();
                }
                Poll::Ready(None)
            }
            Err(error) => {
                self.writing = false;
                self.unflushed = false;
                self.shutting_down = false;
                self.chunks.clear();
                Poll::Ready(if port.write_failed(error) {
                    None
                } else {
                    Some(PumpEnd::Aborted)
                })
            }
        }
    }

    fn refill<P: Port>(&mut self, cx: &Context<'_>, port: &mut P) {
        if !self.chunks.is_empty() || self.closing || self.aborting || self.shutting_down {
            return;
        }
        let mut bytes = 0;
        while self.chunks.len() < BATCH_CHUNKS && bytes < BATCH_BYTES {
            match port.next(cx) {
                Some(PortOutput::Write(data)) => {
                    if self.writing {
                        bytes += data.len();
                        self.chunks.push_back(data);
                    }
                }
                Some(PortOutput::Shutdown) => {
                    self.shutting_down = self.writing;
                    return;
                }
                Some(PortOutput::Close) => {
                    self.closing = true;
                    return;
                }
                Some(PortOutput::Abort) => {
                    self.aborting = true;
                    return;
                }
                None => return,
            }
        }
    }

    fn write_chunks<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
    ) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); BATCH_CHUNKS];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        let mut written = ready!(Pin::new(socket).poll_write_vectored(cx, &slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        while let Some(chunk) = self.chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                break;
            }
            written -= chunk.len();
            self.chunks.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    /// One turn from the socket; `Ready(None)` when it moved something.
    fn poll_read<S, P>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
        port: &mut P,
    ) -> Poll<Option<PumpEnd>>
    where
        S: AsyncRead + Unpin,
        P: Port,
    {
        if !self.reading || !port.wants_data(cx) {
            return Poll::Pending;
        }
        let end = match ready!(poll_read(socket, cx)) {
            Ok(data) if !data.is_empty() => {
                port.push(data);
                return Poll::Ready(None);
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        self.reading = false;
        Poll::Ready(if port.read_ended(end) {
            None
        } else {
            Some(PumpEnd::Closed)
        })
    }
}
