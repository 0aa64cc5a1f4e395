//! Tasks whose result is waited for, on any runtime.

use std::future::Future;

use dialback_runtime::{Runtime, Task as _};
use tokio::sync::oneshot;

/// A task whose end can be waited for. Dropping this lets it run on.
pub struct Task<R: Runtime, T> {
    task: R::Task,
    result: oneshot::Receiver<T>,
}

impl<R: Runtime, T: Send + 'static> Task<R, T> {
    /// Starts a task.
    pub fn start(runtime: &R, future: impl Future<Output = T> + Send + 'static) -> Self {
        let (sender, result) = oneshot::channel();
        let task = runtime.spawn(async move {
            let _ = sender.send(future.await);
        });
        Self { task, result }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it did.
    pub async fn join(self) -> T {
        self.result.await.expect("the task ends without a panic")
    }

    /// Ends it now.
    pub fn abort(self) {
        self.task.abort();
    }
}
