//! Sockets: the standard library's, which `async-io` watches.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_io::Async;
use dialback_runtime::{
    Listener, PeerAddr, Socket, TcpOptions, UnixCredentials, reset_on_close, unix_credentials,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

macro_rules! socket {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name(Async<$inner>);

        impl $name {
            /// Wraps a connected socket.
            #[must_use]
            pub const fn new(socket: Async<$inner>) -> Self {
                Self(socket)
            }

            /// Tries `attempt` until the socket is ready for it.
            fn poll_write_with<T>(
                &self,
                cx: &mut Context<'_>,
                mut attempt: impl FnMut(&$inner) -> io::Result<T>,
            ) -> Poll<io::Result<T>> {
                loop {
                    match attempt(self.0.get_ref()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        done => return Poll::Ready(done),
                    }
                    ready!(self.0.poll_writable(cx))?;
                }
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                loop {
                    match self.0.get_ref().read(buf.initialize_unfilled()) {
                        Ok(read) => {
                            buf.advance(read);
                            return Poll::Ready(Ok(()));
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                    ready!(self.0.poll_readable(cx))?;
                }
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_with(cx, |mut socket| socket.write(buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.poll_write_with(cx, |mut socket| socket.write_vectored(bufs))
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            /// The system has taken what was written.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.0.get_ref().shutdown(Shutdown::Write) {
                    // The peer was quicker, and with a reset: nothing more will be sent either way.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
                    done => Poll::Ready(done),
                }
            }
        }
    };
}

socket! {
    /// A TCP connection.
    SmolTcpStream, std::net::TcpStream
}

socket! {
    /// A connection over a Unix socket.
    SmolUnixStream, std::os::unix::net::UnixStream
}

impl Socket for SmolTcpStream {
    fn set_tcp_options(&self, options: &TcpOptions) -> io::Result<()> {
        options.apply(self)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        reset_on_close(self)
    }
}

impl Socket for SmolUnixStream {
    fn set_tcp_options(&self, _: &TcpOptions) -> io::Result<()> {
        Ok(())
    }

    fn reset_on_close(&self) -> io::Result<()> {
        Ok(())
    }

    fn unix_credentials(&self) -> Option<UnixCredentials> {
        unix_credentials(self)
    }
}

/// Accepts TCP connections.
#[derive(Debug)]
pub struct SmolTcpListener(Async<std::net::TcpListener>);

impl SmolTcpListener {
    pub(crate) const fn new(listener: Async<std::net::TcpListener>) -> Self {
        Self(listener)
    }
}

impl Listener for SmolTcpListener {
    type Stream = SmolTcpStream;

    async fn accept(&self) -> io::Result<(SmolTcpStream, PeerAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((SmolTcpStream::new(stream), PeerAddr::Tcp(peer)))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

/// Accepts connections over a Unix socket.
#[derive(Debug)]
pub struct SmolUnixListener(Async<std::os::unix::net::UnixListener>);

impl SmolUnixListener {
    pub(crate) const fn new(listener: Async<std::os::unix::net::UnixListener>) -> Self {
        Self(listener)
    }
}

impl Listener for SmolUnixListener {
    type Stream = SmolUnixStream;

    async fn accept(&self) -> io::Result<(SmolUnixStream, PeerAddr)> {
        let (stream, _) = self.0.accept().await?;
        Ok((SmolUnixStream::new(stream), PeerAddr::Unix))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "a Unix socket has no IP address",
        ))
    }
}
