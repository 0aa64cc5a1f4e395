//! What a daemon does between its start and its end, on whichever runtime it is told to.

use std::fmt;
use std::future::Future;

use dialback_runtime::{Runtime, Task as _};

use super::DaemonSignals;

/// A daemon's work, written once for every runtime.
pub(crate) trait Work {
    /// Why it could not start.
    type Error: fmt::Display;

    /// Works until a stop is asked for and done. It is polled by tokio whatever `runtime` is, so that what only
    /// exists there, such as signals, is at hand; connections and listeners run on `runtime`.
    fn run<R: Runtime>(
        self,
        runtime: R,
        signals: DaemonSignals,
    ) -> impl Future<Output = Result<(), Self::Error>>;
}

/// Tasks that are aborted when the work ends.
#[derive(Debug)]
pub(crate) struct Tasks<R: Runtime> {
    runtime: R,
    tasks: Vec<R::Task>,
}

impl<R: Runtime> Tasks<R> {
    pub(crate) fn new(runtime: &R) -> Self {
        Self {
            runtime: runtime.clone(),
            tasks: Vec::new(),
        }
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(self.runtime.spawn(task));
    }
}

impl<R: Runtime> Drop for Tasks<R> {
    fn drop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }
}
