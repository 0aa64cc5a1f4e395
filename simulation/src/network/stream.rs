//! Connected sockets.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use dialback_runtime::{Socket, TcpOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Connection, ConnectionId, Life, Load, Side};
use super::failure::Failure;
use crate::event_log::Event;
use crate::simulation::Shared;
use crate::world::World;

/// The largest segment that arrives as one.
const MAX_SEGMENT_BYTES: usize = 16 * 1024;

/// A connection of a simulated host, over TCP or a Unix socket.
pub struct SimulatedStream {
    shared: Arc<Shared>,
    id: ConnectionId,
    side: Side,
}

impl SimulatedStream {
    pub(super) fn new(shared: &Arc<Shared>, id: ConnectionId, side: Side) -> Self {
        Self {
            shared: Arc::clone(shared),
            id,
            side,
        }
    }

    /// Waits until the connection is open.
    pub(crate) async fn connect(shared: &Arc<Shared>, id: ConnectionId) -> io::Result<Self> {
        let stream = Self::new(shared, id, Side::Client);
        poll_fn(|cx| {
            let mut world = stream.shared.world();
            let end = &mut world.connection(id).ends[Side::Client];
            match end.life {
                Life::Connecting => {
                    end.writer = Some(cx.waker().clone());
                    Poll::Pending
                }
                Life::Open => Poll::Ready(Ok::<(), Failure>(())),
                Life::Absent | Life::Closed | Life::Dead => {
                    let failure = end.error.take().unwrap_or(Failure::Reset);
                    Poll::Ready(Err(failure))
                }
            }
        })
        .await?;
        Ok(stream)
    }
}

impl World {
    fn connection(&mut self, id: ConnectionId) -> &mut Connection {
        let connection = self.connections.get_mut(&id);
        connection.expect("a connection stays as long as somebody holds its socket")
    }

    fn read(
        &mut self,
        id: ConnectionId,
        side: Side,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Connection { ends, flows, .. } = self.connection(id);
        let (end, flow) = (&mut ends[side], &mut flows[side.other()]);
        if !flow.received.is_empty() {
            let bytes = flow.received.len().min(buffer.remaining());
            buffer.put_slice(&flow.received.split_to(bytes));
            let alive = end.life == Life::Open;
            self.log(Event::Reads(id, side, bytes));
            if alive && bytes > 0 {
                self.send(id, side, Load::Room(bytes));
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = end.error.take() {
            return Poll::Ready(Err(failure.into()));
        }
        if flow.ended || end.life == Life::Dead {
            return Poll::Ready(Ok(()));
        }
        end.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn write(
        &mut self,
        id: ConnectionId,
        side: Side,
        cx: &Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Connection { ends, flows, .. } = self.connection(id);
        let (end, flow) = (&mut ends[side], &mut flows[side]);
        if let Some(failure) = end.error.take() {
            return Poll::Ready(Err(failure.into()));
        }
        if end.life != Life::Open || end.finished {
            return Poll::Ready(Err(Failure::BrokenPipe.into()));
        }
        let mut data = BytesMut::new();
        for slice in slices {
            let room = flow.room() - data.len();
            data.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let written = data.len();
        if written == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            end.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        flow.used_bytes += written;
        while !data.is_empty() {
            let mut bytes = data.len().min(MAX_SEGMENT_BYTES);
            if self.rng.u8(..) < 64 {
                bytes = self.rng.usize(1..=bytes);
            }
            let segment = data.split_to(bytes).freeze();
            self.send(id, side, Load::Data(segment));
        }
        Poll::Ready(Ok(written))
    }

    fn finish(&mut self, id: ConnectionId, side: Side) -> io::Result<()> {
        let end = &mut self.connection(id).ends[side];
        if end.life != Life::Open {
            return Err(Failure::NotConnected.into());
        }
        if !std::mem::replace(&mut end.finished, true) {
            self.send(id, side, Load::Fin);
        }
        Ok(())
    }
}

impl AsyncRead for SimulatedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.world().read(self.id, self.side, cx, buffer)
    }
}

impl AsyncWrite for SimulatedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.world().write(self.id, self.side, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shared.world().finish(self.id, self.side))
    }
}

impl Socket for SimulatedStream {
    fn set_tcp_options(&self, options: &TcpOptions) -> io::Result<()> {
        let mut world = self.shared.world();
        let end = &mut world.connection(self.id).ends[self.side];
        end.keepalive = options.keepalive;
        end.user_timeout = options.user_timeout;
        Ok(())
    }

    fn reset_on_close(&self) -> io::Result<()> {
        let mut world = self.shared.world();
        world.connection(self.id).ends[self.side].reset_on_close = true;
        Ok(())
    }
}

impl Drop for SimulatedStream {
    fn drop(&mut self) {
        self.shared.world().close(self.id, self.side);
    }
}

impl fmt::Debug for SimulatedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.side)
    }
}
