//! Runs a test in a runtime and with a log of its own.

use std::cell::RefCell;
use std::sync::{Once, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Builder;
use tracing::dispatcher::{DefaultGuard, set_default};

use crate::log::Log;
use crate::wait::eventually;

/// The longest that a test may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Held by every test, by one that counts the process's descriptors alone.
static PROCESS: RwLock<()> = RwLock::new(());

thread_local! {
    static THREAD_LOG: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// Runs a test; afterwards every task that it brought into being must end, and no error may have been logged.
///
/// # Panics
/// When the test does, or leaves something behind.
pub fn run(test: impl AsyncFnOnce(Log)) {
    let _shared = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    drive(test);
}

/// As [`run`], with a runtime that `start` starts, hands over, and ends when that returns.
///
/// # Panics
/// As there.
pub fn run_with<R>(start: impl FnOnce(Box<dyn FnOnce(R) + '_>), test: impl AsyncFnOnce(R, Log)) {
    let _shared = PROCESS.read().unwrap_or_else(PoisonError::into_inner);
    start(Box::new(|runtime| {
        drive(async |log| test(runtime, log).await);
    }));
}

/// As [`run`], while no other test runs: for what concerns the whole process, such as its descriptors.
///
/// # Panics
/// When the test does, or leaves something behind.
pub fn run_alone(test: impl AsyncFnOnce(Log)) {
    let _alone = PROCESS.write().unwrap_or_else(PoisonError::into_inner);
    drive(test);
}

fn drive(test: impl AsyncFnOnce(Log)) {
    log_panics();
    let log = Log::default();
    let dispatch = log.dispatch();
    let _this_thread = set_default(&dispatch);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || THREAD_LOG.set(Some(set_default(&dispatch))))
        .on_thread_stop(|| drop(THREAD_LOG.take()))
        .build()
        .unwrap();
    let _printer = PrintOnFailure(log.clone());
    runtime.block_on(async {
        tokio::time::timeout(LIMIT, test(log.clone()))
            .await
            .expect("a test ends in time");
        let tasks = tokio::runtime::Handle::current().metrics();
        eventually("every task has ended", || tasks.num_alive_tasks() == 0).await;
    });
    log.assert_no_errors();
}

/// A task that panics dies unseen otherwise.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            tracing::error!(%panic, "a task panicked");
            print(panic);
        }));
    });
}

struct PrintOnFailure(Log);

impl Drop for PrintOnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
