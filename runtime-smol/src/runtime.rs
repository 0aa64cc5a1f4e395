//! The runtime itself: `async-io` and an executor.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use async_executor::Executor;
use async_io::Async;
use dialback_runtime::Runtime;

use crate::executor::{ExecutorHandle, Spawn};
use crate::net::{SmolTcpListener, SmolTcpStream, SmolUnixListener, SmolUnixStream};
use crate::time::SmolSleep;

/// `async-io`'s reactor, which a process has one of, and an executor.
#[derive(Clone, Debug)]
pub struct SmolRuntime<S = ExecutorHandle> {
    executor: S,
}

impl SmolRuntime {
    /// On an executor that the caller keeps and runs; the tasks end when it is dropped.
    #[must_use]
    pub fn new(executor: &Arc<Executor<'static>>) -> Self {
        Self::on(ExecutorHandle::new(executor))
    }

    /// Runs `main` on the calling thread, and the tasks that it spawns on `threads`, of which the calling one is the
    /// first: were it to wait for `main` only, it would often be the one that hears of what is ready, and each event
    /// would cost a wake-up of another thread. When `main` has ended the threads do, and the tasks that still run are
    /// dropped.
    ///
    /// # Errors
    /// The system's, when it has no threads to give.
    pub fn run<F>(threads: NonZeroUsize, main: impl FnOnce(Self) -> F) -> io::Result<F::Output>
    where
        F: Future,
    {
        let executor = Arc::new(Executor::new());
        thread::scope(|scope| {
            // Nothing is ever sent: the threads wait for this end to be dropped, by a panic of `main` too.
            let (_running, ended) = async_channel::bounded::<()>(1);
            for _ in 1..threads.get() {
                let (executor, ended) = (Arc::clone(&executor), ended.clone());
                thread::Builder::new()
                    .name("dialback-smol".to_owned())
                    .spawn_scoped(scope, move || {
                        let _ = async_io::block_on(executor.run(ended.recv()));
                    })?;
            }
            let main = main(Self::new(&executor));
            Ok(async_io::block_on(executor.run(main)))
        })
    }
}

impl<S: Spawn> SmolRuntime<S> {
    /// On any executor.
    pub const fn on(executor: S) -> Self {
        Self { executor }
    }
}

impl<S: Spawn> Runtime for SmolRuntime<S> {
    type Task = S::Task;
    type Sleep = SmolSleep;
    type TcpStream = SmolTcpStream;
    type UnixStream = SmolUnixStream;
    type TcpListener = SmolTcpListener;
    type UnixListener = SmolUnixListener;

    fn spawn<F>(&self, future: F) -> S::Task
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.executor.spawn(future)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> SmolSleep {
        SmolSleep::new(deadline)
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<SmolTcpStream> {
        Async::<std::net::TcpStream>::connect(address)
            .await
            .map(SmolTcpStream::new)
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<SmolUnixStream> {
        Async::<std::os::unix::net::UnixStream>::connect(path)
            .await
            .map(SmolUnixStream::new)
    }

    fn listen_tcp(&self, address: SocketAddr) -> io::Result<SmolTcpListener> {
        self.tcp_listener(std::net::TcpListener::bind(address)?)
    }

    fn tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<SmolTcpListener> {
        Async::new(listener).map(SmolTcpListener::new)
    }

    fn unix_listener(
        &self,
        listener: std::os::unix::net::UnixListener,
    ) -> io::Result<SmolUnixListener> {
        Async::new(listener).map(SmolUnixListener::new)
    }

    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let host = host.to_owned();
        // The system's resolver blocks.
        blocking::unblock(move || Ok((host, port).to_socket_addrs()?.collect())).await
    }
}
