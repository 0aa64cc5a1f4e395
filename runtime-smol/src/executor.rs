//! Tasks: on smol's executor, or on whatever else an application has.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};

use async_executor::Executor;
use dialback_runtime::Task;

/// An executor, as far as a [`SmolRuntime`](crate::SmolRuntime) needs one: a handle that is cheap to clone.
pub trait Spawn: Clone + fmt::Debug + Send + Sync + Unpin + 'static {
    /// A spawned task.
    type Task: Task;

    /// Runs a future in the background until it ends or is aborted.
    fn spawn<F>(&self, future: F) -> Self::Task
    where
        F: Future<Output = ()> + Send + 'static;
}

/// A handle on an executor that somebody else owns and runs.
///
/// It does not keep the executor alive, since the tasks hold such handles themselves: once the owner has dropped
/// the executor, and all its tasks with it, what is spawned is dropped at once.
#[derive(Clone, Debug)]
pub struct ExecutorHandle(Weak<Executor<'static>>);

impl ExecutorHandle {
    /// The handle of `executor`.
    #[must_use]
    pub fn new(executor: &Arc<Executor<'static>>) -> Self {
        Self(Arc::downgrade(executor))
    }
}

impl Spawn for ExecutorHandle {
    type Task = SmolTask;

    fn spawn<F>(&self, future: F) -> SmolTask
    where
        F: Future<Output = ()> + Send + 'static,
    {
        SmolTask(self.0.upgrade().map(|executor| executor.spawn(future)))
    }
}

/// A task of smol's executor; it runs on when this is dropped.
#[derive(Debug)]
pub struct SmolTask(Option<async_executor::Task<()>>);

impl Task for SmolTask {
    fn abort(mut self) {
        // Dropping smol's handle cancels the task.
        drop(self.0.take());
    }
}

impl Drop for SmolTask {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.detach();
        }
    }
}
