//! The runtime itself: a handle on a tokio runtime.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use dialback_runtime::{Runtime, Task};
use tokio::runtime::{Handle, TryCurrentError};
use tokio::task::AbortHandle;

use crate::net::{TokioTcpListener, TokioTcpStream, TokioUnixListener, TokioUnixStream};
use crate::time::TokioSleep;

/// A tokio runtime (multi-threaded or not) whose I/O and time drivers are enabled.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
}

impl TokioRuntime {
    /// The runtime behind `handle`.
    #[must_use]
    pub const fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// The runtime of the calling task.
    ///
    /// # Errors
    /// Outside of a tokio runtime there is none.
    pub fn current() -> Result<Self, TryCurrentError> {
        Handle::try_current().map(Self::new)
    }

    /// The tokio handle, for work that has no place in [`Runtime`], such as blocking file access.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Runtime for TokioRuntime {
    type Task = TokioTask;
    type Sleep = TokioSleep;
    type TcpStream = TokioTcpStream;
    type UnixStream = TokioUnixStream;
    type TcpListener = TokioTcpListener;
    type UnixListener = TokioUnixListener;

    fn spawn<F>(&self, future: F) -> TokioTask
    where
        F: Future<Output = ()> + Send + 'static,
    {
        TokioTask(self.handle.spawn(future).abort_handle())
    }

    fn now(&self) -> Instant {
        // Tokio's clock, not the system's: the same in production, but tests can pause it.
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, deadline: Instant) -> TokioSleep {
        let _context = self.handle.enter();
        TokioSleep::new(deadline)
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<TokioTcpStream> {
        tokio::net::TcpStream::connect(address)
            .await
            .map(TokioTcpStream::new)
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<TokioUnixStream> {
        tokio::net::UnixStream::connect(path)
            .await
            .map(TokioUnixStream::new)
    }

    fn listen_tcp(&self, address: SocketAddr) -> io::Result<TokioTcpListener> {
        self.tcp_listener(std::net::TcpListener::bind(address)?)
    }

    fn tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<TokioTcpListener> {
        let _context = self.handle.enter();
        TokioTcpListener::new(listener)
    }

    fn unix_listener(
        &self,
        listener: std::os::unix::net::UnixListener,
    ) -> io::Result<TokioUnixListener> {
        let _context = self.handle.enter();
        TokioUnixListener::new(listener)
    }

    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        tokio::net::lookup_host((host, port))
            .await
            .map(Iterator::collect)
    }
}

/// A task spawned by [`TokioRuntime::spawn`]; it runs on when this is dropped.
#[derive(Debug)]
pub struct TokioTask(AbortHandle);

impl Task for TokioTask {
    fn abort(self) {
        self.0.abort();
    }
}
