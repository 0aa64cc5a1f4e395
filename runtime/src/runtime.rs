//! What an executor must offer for Dialback to run on it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use crate::net::{Listener, Socket};
use crate::tls::fill_random;

/// An executor with timers and sockets: tokio, smol, or a simulated network under a virtual clock.
///
/// Everything in this crate is generic over it, takes it as an argument and clones it freely, so an
/// implementation is a handle: cheap to clone, the same world behind every clone. Nothing here reads a
/// clock, spawns a task or opens a socket in any other way, which is what makes a simulation deterministic.
///
/// Methods that return a socket or a timer are called from inside a task of this runtime.
pub trait Runtime: Clone + fmt::Debug + Send + Sync + Unpin + 'static {
    /// A spawned task.
    type Task: Task;
    /// A timer.
    type Sleep: Sleep;
    /// A TCP connection.
    type TcpStream: Socket;
    /// A connection over a Unix socket.
    type UnixStream: Socket;
    /// Accepts TCP connections.
    type TcpListener: Listener<Stream = Self::TcpStream>;
    /// Accepts connections over a Unix socket.
    type UnixListener: Listener<Stream = Self::UnixStream>;

    /// Runs a future in the background until it ends or is aborted.
    fn spawn<F>(&self, future: F) -> Self::Task
    where
        F: Future<Output = ()> + Send + 'static;

    /// The current time, of the same clock that [`sleep_until`](Self::sleep_until) follows.
    fn now(&self) -> Instant;

    /// A timer that fires at `deadline`, at once if that has passed.
    fn sleep_until(&self, deadline: Instant) -> Self::Sleep;

    /// Opens a TCP connection; the system's own connect timeout applies.
    ///
    /// # Errors
    /// The system's error, unchanged, so that its kind and text can be reported to the peer that asked.
    fn connect_tcp(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send;

    /// Opens a connection to the Unix socket at `path`; a leading NUL byte names an abstract socket.
    ///
    /// # Errors
    /// The system's error, unchanged.
    fn connect_unix(
        &self,
        path: &Path,
    ) -> impl Future<Output = io::Result<Self::UnixStream>> + Send;

    /// Listens on `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// The system's error, unchanged.
    fn listen_tcp(&self, address: SocketAddr) -> io::Result<Self::TcpListener>;

    /// Takes over a TCP socket that was bound, and set to listen, beforehand.
    ///
    /// # Errors
    /// The system's error, or [`io::ErrorKind::Unsupported`] where sockets are simulated.
    fn tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Self::TcpListener>;

    /// Takes over a Unix socket that was bound, and set to listen, beforehand.
    ///
    /// # Errors
    /// The system's error, or [`io::ErrorKind::Unsupported`] where sockets are simulated.
    fn unix_listener(
        &self,
        listener: std::os::unix::net::UnixListener,
    ) -> io::Result<Self::UnixListener>;

    /// The addresses of a host name (or of an address in text form), each with `port`, in the order the
    /// resolver prefers them.
    ///
    /// # Errors
    /// The resolver's error; an empty list is possible and means that the name has no address.
    fn look_up(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Fills `bytes` with what nobody can foresee: ids of sessions and the tokens that guard them are made of it.
    ///
    /// By default from the generator of the TLS library. Only a simulation, in which nothing is secret and every
    /// run of a seed is to be the same, has another.
    ///
    /// # Errors
    /// [`NoRandomness`]; sessions can't be resumed then.
    fn fill_random(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        fill_random(bytes)
    }
}

/// The system has no random numbers to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no random numbers to be had")]
pub struct NoRandomness;

/// A handle on a spawned task. Dropping it lets the task run on.
pub trait Task: fmt::Debug + Send + Sync + 'static {
    /// Drops the task's future as soon as it is not being polled; without effect once it has ended.
    fn abort(self);
}

/// A timer of a [`Runtime`]: a future that completes at its deadline.
pub trait Sleep: Future<Output = ()> + fmt::Debug + Send + Unpin + 'static {
    /// Sets a new deadline, whether or not the timer has fired. The next poll registers the waker anew.
    fn reset(&mut self, deadline: Instant);
}
