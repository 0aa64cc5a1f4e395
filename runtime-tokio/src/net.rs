//! Sockets: tokio's, with the few extras of [`Socket`] and [`Listener`].

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use dialback_runtime::{
    Listener, PeerAddr, Socket, TcpOptions, UnixCredentials, reset_on_close, unix_credentials,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

macro_rules! socket {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($inner);

        impl $name {
            /// Wraps a connected socket.
            #[must_use]
            pub const fn new(socket: $inner) -> Self {
                Self(socket)
            }

            /// The tokio socket.
            #[must_use]
            pub const fn inner(&self) -> &$inner {
                &self.0
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_read(cx, buf)
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.0.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_flush(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.0).poll_shutdown(cx)
            }
        }
    };
}

socket! {
    /// A TCP connection.
    TokioTcpStream, tokio::net::TcpStream
}

socket! {
    /// A connection over a Unix socket.
    TokioUnixStream, tokio::net::UnixStream
}

impl Socket for TokioTcpStream {
    fn set_tcp_options(&self, options: &TcpOptions) -> io::Result<()> {
        options.apply(&self.0)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        reset_on_close(&self.0)
    }
}

impl Socket for TokioUnixStream {
    fn set_tcp_options(&self, _: &TcpOptions) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&self) -> io::Result<()> {
        Ok(())
    }

    fn unix_credentials(&self) -> Option<UnixCredentials> {
        unix_credentials(&self.0)
    }
}

/// Accepts TCP connections.
#[derive(Debug)]
pub struct TokioTcpListener(tokio::net::TcpListener);

impl TokioTcpListener {
    /// Takes over a listening socket, which becomes non-blocking. To be called inside the runtime.
    pub(crate) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(listener).map(Self)
    }
}

impl Listener for TokioTcpListener {
    type Stream = TokioTcpStream;

    async fn accept(&self) -> io::Result<(TokioTcpStream, PeerAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((TokioTcpStream::new(stream), PeerAddr::Tcp(peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Accepts connections over a Unix socket.
#[derive(Debug)]
pub struct TokioUnixListener(tokio::net::UnixListener);

impl TokioUnixListener {
    /// Takes over a listening socket, which becomes non-blocking. To be called inside the runtime.
    pub(crate) fn new(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        tokio::net::UnixListener::from_std(listener).map(Self)
    }
}

impl Listener for TokioUnixListener {
    type Stream = TokioUnixStream;

    async fn accept(&self) -> io::Result<(TokioUnixStream, PeerAddr)> {
        let (stream, _) = self.0.accept().await?;
        Ok((TokioUnixStream::new(stream), PeerAddr::Unix))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a Unix socket has no IP address",
        ))
    }
}
