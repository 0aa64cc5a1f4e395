//! A client's byte stream on its way to h2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dialback_core::http2::{AuthorityRewriter, PingEnforcer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::coalesced::Coalesced;
use super::farewell::Farewell;
use crate::grpc::activity::Activity;
use crate::grpc::config::ServerConfig;
use crate::runtime::Runtime;

/// A client's byte stream that counts its reads and its PINGs, hides authorities that h2 would refuse, and says
/// to clients that ping too often what they did wrong.
///
/// Bytes are looked at, and changed, where they are: in the buffers that h2 reads to and writes from.
#[derive(Debug)]
pub(crate) struct Guarded<R, T> {
    io: Coalesced<T>,
    runtime: R,
    activity: Arc<Activity>,
    authority: Option<AuthorityRewriter>,
    pings: PingEnforcer,
    farewell: Farewell,
}

impl<R: Runtime, T> Guarded<R, T> {
    pub(crate) fn new(runtime: R, io: T, config: &ServerConfig, activity: Arc<Activity>) -> Self {
        Self {
            io: Coalesced::new(io, Arc::clone(&activity)),
            runtime,
            activity,
            authority: config.any_authority.then(AuthorityRewriter::new),
            pings: PingEnforcer::new(config.pings),
            farewell: Farewell::default(),
        }
    }
}

impl<R: Runtime, T: AsyncRead + Unpin> AsyncRead for Guarded<R, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let received = &mut buf.filled_mut()[before..];
        this.activity.count_read();
        if let Some(authority) = &mut this.authority {
            authority.rewrite(received);
        }
        let now = this.runtime.now();
        let streams = usize::from(this.activity.has_streams());
        if this.pings.handle_received(now, received, streams).is_err() {
            this.activity.set_too_many_pings();
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: Runtime, T: AsyncWrite + Unpin> AsyncWrite for Guarded<R, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.activity.too_many_pings() {
            return this.farewell.poll_write(&mut this.io, cx, buf);
        }
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, buf))?;
        this.pings.handle_sent(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.activity.too_many_pings() {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write(cx, first.map_or(&[], |buf| buf));
        }
        let this = &mut *self;
        let written = ready!(Pin::new(&mut this.io).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for buf in bufs {
            let sent = left.min(buf.len());
            this.pings.handle_sent(&buf[..sent]);
            left -= sent;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
