//! A connection to an endpoint, whichever way it goes.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use dialback_core::client::ConnectionError;
use dialback_core::{CloseReason, Initiator};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::grpc_stream::GrpcStream;
use super::transport::Transport;
use crate::runtime::Runtime;

/// A connection to an endpoint; dropping it closes it, on the far side too.
///
/// `poll_shutdown` ends the sending direction, and reading goes on. Where a Konnectivity peer on the way knows no
/// half-close, the whole connection ends with it, and only what the endpoint had sent before can still be read.
#[derive(Debug)]
pub struct DialbackStream<R: Runtime> {
    way: Way<R>,
    local: String,
    remote: String,
    agent_id: Option<String>,
    /// This side has ended its direction.
    is_shut_down: bool,
    closed: watch::Sender<Option<Closed>>,
}

#[derive(Debug)]
pub(super) enum Way<R: Runtime> {
    Transport {
        transport: Transport<R>,
        /// What came with the proxy server's answer.
        early: Bytes,
    },
    Grpc(GrpcStream<R>),
}

/// How a connection ended, as far as reading and writing have shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// The endpoint was done.
    ByEndpoint,
    /// The connection broke: what a read or write ended with.
    Failed {
        /// Who ended it. Only a proxy server in grpc mode tells; the server itself, where its connection broke.
        by: Option<Initiator>,
        /// The kind of the error.
        kind: io::ErrorKind,
        /// Its words.
        text: String,
    },
    /// This side let the stream go before anything else ended it.
    Dropped,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByEndpoint => f.write_str("closed by the endpoint"),
            Self::Failed { text, .. } => f.write_str(text),
            Self::Dropped => f.write_str("closed by this side"),
        }
    }
}

impl Closed {
    /// Who ended the connection, where that is known.
    #[must_use]
    pub const fn by(&self) -> Option<Initiator> {
        match self {
            Self::ByEndpoint => Some(Initiator::Endpoint),
            Self::Failed { by, .. } => *by,
            Self::Dropped => Some(Initiator::Frontend),
        }
    }

    fn failed(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|e| e.downcast_ref());
        let by = inner.map(|inner| match inner {
            ConnectionError::Failed(text) => CloseReason::from_wire_error(text).initiator(),
            // What the tunnel itself ends with.
            ConnectionError::TunnelClosed(_)
            | ConnectionError::CloseTimedOut
            | ConnectionError::Closed
            | ConnectionError::NotEstablished
            | _ => Initiator::Server,
        });
        Self::Failed {
            by,
            kind: error.kind(),
            text: error.to_string(),
        }
    }
}

impl<R: Runtime> DialbackStream<R> {
    pub(super) fn new(way: Way<R>, local: String, remote: &str, agent_id: Option<String>) -> Self {
        Self {
            way,
            local,
            remote: remote.to_owned(),
            agent_id,
            is_shut_down: false,
            closed: watch::Sender::new(None),
        }
    }

    /// Where this end is: the proxy server that the connection goes through, or `direct`.
    #[must_use]
    pub fn local_name(&self) -> &str {
        &self.local
    }

    /// What was dialled.
    #[must_use]
    pub fn remote_name(&self) -> &str {
        &self.remote
    }

    /// The agent that serves the connection, where [`DialerOptions::name_agent`](super::DialerOptions::name_agent)
    /// asked for it and the proxy server, which has to be Dialback's, told.
    #[must_use]
    pub fn agent_id(&self) -> Option<&str> {
        self.agent_id.as_deref()
    }

    /// Whether and how the connection has ended: an end of file or an error was met.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.closed.borrow().clone()
    }

    /// Tells how the connection ends once it has, to who does not read or write it: to be asked for before the stream
    /// is split or given away.
    #[must_use]
    pub fn closing(&self) -> Closing {
        Closing(self.closed.subscribe())
    }

    fn end(&self, how: impl FnOnce() -> Closed) {
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            if first {
                *closed = Some(how());
            }
            first
        });
    }

    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        match &result {
            Err(error) if !is_closed(error) => self.end(|| Closed::failed(error)),
            // A write that came too late: nothing broke.
            Err(_) if !self.is_shut_down => self.end(|| Closed::ByEndpoint),
            Ok(_) | Err(_) => {}
        }
        result
    }
}

/// Whether the tunnel was closed in order before.
fn is_closed(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref());
    matches!(inner, Some(ConnectionError::Closed))
}

/// Waits for the end of a stream, see [`DialbackStream::closing`].
#[derive(Clone, Debug)]
pub struct Closing(watch::Receiver<Option<Closed>>);

impl Closing {
    /// How the stream has ended: what the first read that met an end, or the first operation that failed, showed;
    /// [`Closed::Dropped`] where the stream was let go before.
    pub async fn closed(mut self) -> Closed {
        match self.0.wait_for(Option::is_some).await {
            Ok(closed) => closed.clone().unwrap_or(Closed::Dropped),
            Err(_) => Closed::Dropped,
        }
    }
}

impl<R: Runtime> AsyncRead for DialbackStream<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = match &mut stream.way {
            Way::Transport { early, .. } if !early.is_empty() => {
                let taken = early.len().min(buffer.remaining());
                buffer.put_slice(&early[..taken]);
                early.advance(taken);
                Ok(())
            }
            Way::Transport { transport, .. } => {
                ready!(Pin::new(transport).poll_read(cx, buffer))
            }
            Way::Grpc(inner) => ready!(Pin::new(inner).poll_read(cx, buffer)),
        };
        if read.is_ok() && buffer.filled().len() == before {
            stream.end(|| Closed::ByEndpoint);
        }
        Poll::Ready(stream.note(read))
    }
}

impl<R: Runtime> AsyncWrite for DialbackStream<R> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = ready!(match &mut stream.way {
            Way::Transport { transport, .. } => Pin::new(transport).poll_write(cx, bytes),
            Way::Grpc(inner) => Pin::new(inner).poll_write(cx, bytes),
        });
        Poll::Ready(stream.note(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = ready!(match &mut stream.way {
            Way::Transport { transport, .. } => {
                Pin::new(transport).poll_write_vectored(cx, buffers)
            }
            Way::Grpc(inner) => Pin::new(inner).poll_write_vectored(cx, buffers),
        });
        Poll::Ready(stream.note(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.way {
            Way::Transport { transport, .. } => transport.is_write_vectored(),
            Way::Grpc(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let flushed = ready!(match &mut stream.way {
            Way::Transport { transport, .. } => Pin::new(transport).poll_flush(cx),
            Way::Grpc(inner) => Pin::new(inner).poll_flush(cx),
        });
        Poll::Ready(stream.note(flushed))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.is_shut_down = true;
        match &mut stream.way {
            Way::Transport { transport, .. } => Pin::new(transport).poll_shutdown(cx),
            Way::Grpc(inner) => Pin::new(inner).poll_shutdown(cx),
        }
    }
}
