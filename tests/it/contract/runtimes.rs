//! The runtimes, each started for one test and ended with it.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::task::{Context, Waker};

use dialback_runtime::Task;
use dialback_smol::{SmolRuntime, Spawn};
use dialback_tokio::TokioRuntime;

/// What a runtime is started for.
type Test<'a, R> = Box<dyn FnOnce(R) + 'a>;

const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

pub(super) fn tokio(test: Test<'_, TokioRuntime>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS.get())
        .enable_all()
        .build()
        .unwrap();
    test(TokioRuntime::new(runtime.handle().clone()));
}

pub(super) fn smol(test: Test<'_, SmolRuntime>) {
    SmolRuntime::run(THREADS, async |runtime| test(runtime)).unwrap();
}

/// The adapter of smol, its tasks on the executor of async-std. That crate is discontinued (RUSTSEC-2025-0052):
/// this shows that applications which still have it can embed Dialback, and that `Spawn` is all it takes.
pub(super) fn async_std(test: Test<'_, SmolRuntime<AsyncStd>>) {
    test(SmolRuntime::on(AsyncStd));
}

/// The executor of async-std, which a process has one of.
#[derive(Clone, Debug)]
pub(super) struct AsyncStd;

impl Spawn for AsyncStd {
    type Task = AsyncStdTask;

    fn spawn<F>(&self, future: F) -> AsyncStdTask
    where
        F: Future<Output = ()> + Send + 'static,
    {
        AsyncStdTask(async_std::task::spawn(future))
    }
}

#[derive(Debug)]
pub(super) struct AsyncStdTask(async_std::task::JoinHandle<()>);

impl Task for AsyncStdTask {
    fn abort(self) {
        // The first poll asks for the end; nobody waits for it.
        let _ = pin!(self.0.cancel()).poll(&mut Context::from_waker(Waker::noop()));
    }
}
