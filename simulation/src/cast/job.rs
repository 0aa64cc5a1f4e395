//! Tasks whose result somebody waits for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use dialback_runtime::Runtime as _;
use tokio::sync::oneshot;

use crate::host::Host;

/// A future that runs in a task; its result, or `None` when the task's host was killed.
#[derive(Debug)]
pub struct Job<T>(oneshot::Receiver<T>);

/// Starts a job on a host.
pub fn start<T, F>(host: &Host, future: F) -> Job<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (done, result) = oneshot::channel();
    host.spawn(async move {
        // Nobody need be interested.
        let _ = done.send(future.await);
    });
    Job(result)
}

impl<T> Future for Job<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(cx).map(Result::ok)
    }
}
