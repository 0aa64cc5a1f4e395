//! Sockets as the drivers see them, and the TCP options that Konnectivity sets.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

pub use dialback_core::UnixCredentials;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream of a [`Runtime`](crate::Runtime).
///
/// `poll_shutdown` closes the sending direction only (`shutdown(SHUT_WR)`); reading goes on until the peer
/// is done as well. Vectored writes are passed to the system, since HTTP/2 frames come as header and payload.
pub trait Socket: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static {
    /// Sets TCP options; does nothing on a Unix socket.
    ///
    /// # Errors
    /// The system's error.
    fn set_tcp_options(&self, options: &TcpOptions) -> io::Result<()>;

    /// Makes the coming close (on drop) a reset, so that the peer can't mistake a broken stream for one that
    /// ended. Data not yet sent is discarded. Does nothing on a Unix socket.
    ///
    /// # Errors
    /// The system's error.
    fn reset_on_close(&self) -> io::Result<()>;

    /// Who connected, for the accepted end of a Unix socket; `None` for every other, and where the system does not tell.
    fn unix_credentials(&self) -> Option<UnixCredentials> {
        None
    }
}

/// Accepts connections.
pub trait Listener: fmt::Debug + Send + Sync + 'static {
    /// What it accepts.
    type Stream: Socket;

    /// Waits for the next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// The system's error. Most concern one connection that is already gone, or a shortage that passes
    /// (`EMFILE`): the listener stays usable, but wait a moment before the next call.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, PeerAddr)>> + Send;

    /// The address of a TCP listener, with the port that the system chose for port 0.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a Unix socket, or the system's error.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Who is at the other end of an accepted connection, for logs and audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerAddr {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A local process that connected to a Unix socket; it has no address of its own.
    Unix,
}

impl PeerAddr {
    /// The address of a TCP peer.
    #[must_use]
    pub const fn tcp(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(address),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // An IPv4 peer of a socket that listens for both kinds is meant as what it is.
            Self::Tcp(address) => {
                SocketAddr::new(address.ip().to_canonical(), address.port()).fmt(f)
            }
            Self::Unix => f.write_str("@"),
        }
    }
}

/// The options of a TCP connection. The default is what Go's `net` package sets on every connection:
/// no delay, keep-alive of 15 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// `TCP_NODELAY`: send small segments at once.
    pub nodelay: bool,
    /// Idle time before, and interval between, keep-alive probes; `None` leaves the system's setting.
    pub keepalive: Option<Duration>,
    /// `TCP_USER_TIMEOUT`: how long sent data may stay unacknowledged before the connection is given up.
    /// `None` leaves the system's setting, many minutes.
    ///
    /// grpc-go sets it to the keep-alive acknowledgement timeout, 20 s, on both ends of a connection; with
    /// data outstanding it is this, not the hourly ping, that finds a dead peer.
    pub user_timeout: Option<Duration>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: Some(Duration::from_secs(15)),
            user_timeout: None,
        }
    }
}

impl TcpOptions {
    /// The options of a connection that carries gRPC: the default plus a `TCP_USER_TIMEOUT` of 20 s.
    #[must_use]
    pub fn grpc() -> Self {
        Self {
            user_timeout: Some(Duration::from_secs(20)),
            ..Self::default()
        }
    }

    /// Sets the options on a system socket; for implementations of [`Socket`].
    ///
    /// # Errors
    /// The system's error; the options after the failing one are left as they were.
    pub fn apply(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(time) = self.keepalive {
            let probes = TcpKeepalive::new().with_time(time).with_interval(time);
            socket.set_tcp_keepalive(&probes)?;
        }
        if self.user_timeout.is_some() {
            socket.set_tcp_user_timeout(self.user_timeout)?;
        }
        Ok(())
    }
}

/// Makes the close of a system socket a reset; for implementations of [`Socket::reset_on_close`].
///
/// # Errors
/// The system's error.
pub fn reset_on_close(socket: &impl AsFd) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// What the system says of the process that connected to a Unix socket; for implementations of
/// [`Socket::unix_credentials`]. `None` where it does not tell, which is everywhere but on Linux.
#[must_use]
pub fn unix_credentials(socket: &impl AsFd) -> Option<UnixCredentials> {
    #[cfg(target_os = "linux")]
    {
        let credentials = rustix::net::sockopt::socket_peercred(socket).ok()?;
        Some(UnixCredentials {
            user_id: credentials.uid.as_raw(),
            group_id: credentials.gid.as_raw(),
            process_id: credentials.pid.as_raw_nonzero().get().try_into().ok(),
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_system_says_which_process_is_at_the_other_end() {
        let (ours, _theirs) = UnixStream::pair().expect("sockets can be made");
        let credentials = unix_credentials(&ours).expect("Linux tells them");
        let process = std::fs::metadata("/proc/self").expect("the process itself is there");
        assert_eq!(credentials.user_id, process.uid());
        assert_eq!(credentials.group_id, process.gid());
        assert_eq!(credentials.process_id, Some(std::process::id()));
    }
}
