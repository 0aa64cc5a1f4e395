//! What becomes of tasks when their executor goes, and of the executor when they do.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;

use async_executor::Executor;
use dialback_runtime::{Runtime, Task};
use dialback_smol::SmolRuntime;

const THREADS: NonZeroUsize = NonZeroUsize::MIN;

#[test]
fn tasks_end_with_the_main_future() {
    let (alive, ended) = async_channel::bounded::<()>(1);
    SmolRuntime::run(THREADS, async |runtime| {
        let (started, running) = async_channel::bounded(1);
        let inside = runtime.clone();
        drop(runtime.spawn(async move {
            started.send(()).await.unwrap();
            pending::<()>().await;
            drop((alive, inside));
        }));
        running.recv().await.unwrap();
        assert!(!ended.is_closed());
    })
    .unwrap();
    assert!(ended.is_closed());
}

#[test]
fn a_panic_ends_its_task_and_no_other() {
    SmolRuntime::run(THREADS, async |runtime| {
        let (witness, gone) = async_channel::bounded::<()>(1);
        drop(runtime.spawn(async move {
            let _witness = witness;
            panic!("as this test wants");
        }));
        gone.recv().await.unwrap_err();
        let (done, result) = async_channel::bounded(1);
        drop(runtime.spawn(async move { done.send(7).await.unwrap() }));
        assert_eq!(result.recv().await, Ok(7));
    })
    .unwrap();
}

#[test]
fn a_panic_of_the_main_future_is_passed_on() {
    let panicked = std::panic::catch_unwind(|| {
        SmolRuntime::run(THREADS, async |_| panic!("as this test wants"))
    });
    assert!(panicked.is_err());
}

#[test]
fn an_executor_that_is_gone_takes_no_tasks() {
    let executor = Arc::new(Executor::new());
    let runtime = SmolRuntime::new(&executor);
    drop(executor);
    let (alive, ended) = async_channel::bounded::<()>(1);
    let task = runtime.spawn(async move {
        pending::<()>().await;
        drop(alive);
    });
    assert!(ended.is_closed());
    task.abort();
}
