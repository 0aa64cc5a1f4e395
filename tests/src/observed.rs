//! A runtime whose tasks write to a test's log and are counted.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use dialback_runtime::Runtime;
use tracing::Dispatch;
use tracing::dispatcher::with_default;

/// Adds nothing but eyes to the runtime that it is made of.
#[derive(Clone, Debug)]
pub struct Observed<R> {
    runtime: R,
    dispatch: Dispatch,
    tasks: Arc<AtomicUsize>,
}

impl<R: Runtime> Observed<R> {
    #[must_use]
    pub fn new(runtime: R, dispatch: Dispatch) -> Self {
        Self {
            runtime,
            dispatch,
            tasks: Arc::default(),
        }
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn task_count(&self) -> usize {
        self.tasks.load(Ordering::Relaxed)
    }
}

impl<R: Runtime> Runtime for Observed<R> {
    type Task = R::Task;
    type Sleep = R::Sleep;
    type TcpStream = R::TcpStream;
    type UnixStream = R::UnixStream;
    type TcpListener = R::TcpListener;
    type UnixListener = R::UnixListener;

    fn spawn<F>(&self, future: F) -> R::Task
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.fetch_add(1, Ordering::Relaxed);
        self.runtime.spawn(Watched {
            future: Some(Box::pin(future)),
            dispatch: self.dispatch.clone(),
            tasks: Arc::clone(&self.tasks),
        })
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn sleep_until(&self, deadline: Instant) -> R::Sleep {
        self.runtime.sleep_until(deadline)
    }

    async fn connect_tcp(&self, address: SocketAddr) -> io::Result<R::TcpStream> {
        self.runtime.connect_tcp(address).await
    }

    async fn connect_unix(&self, path: &Path) -> io::Result<R::UnixStream> {
        self.runtime.connect_unix(path).await
    }

    fn listen_tcp(&self, address: SocketAddr) -> io::Result<R::TcpListener> {
        self.runtime.listen_tcp(address)
    }

    fn tcp_listener(&self, listener: TcpListener) -> io::Result<R::TcpListener> {
        self.runtime.tcp_listener(listener)
    }

    fn unix_listener(&self, listener: UnixListener) -> io::Result<R::UnixListener> {
        self.runtime.unix_listener(listener)
    }

    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.runtime.look_up(host, port).await
    }
}

/// A task's future, which ends under the eyes of the test too.
struct Watched<F> {
    future: Option<Pin<Box<F>>>,
    dispatch: Dispatch,
    tasks: Arc<AtomicUsize>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match &mut this.future {
            Some(future) => with_default(&this.dispatch, || future.as_mut().poll(cx)),
            None => Poll::Ready(()),
        }
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        with_default(&self.dispatch, || drop(future));
        self.tasks.fetch_sub(1, Ordering::Relaxed);
    }
}
