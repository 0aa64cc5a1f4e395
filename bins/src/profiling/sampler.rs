//! Takes the samples of a CPU profile.

mod profile;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use dialback_runtime::http::{CpuProfile, CpuProfileError, CpuProfiler};
use pprof::ProfilerGuardBuilder;
use tokio::sync::oneshot;

/// Samples for each second of CPU time, as in Go.
const FREQUENCY: i32 = 100;

/// Where the unwinder could meet a lock of the thread that it interrupts.
const BLOCKED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// There is one timer in a process, so one profile at a time.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// The profiler of this process.
pub(super) fn sampler() -> Option<Arc<dyn CpuProfiler>> {
    Some(Arc::new(Sampler))
}

/// Samples all threads of this process.
#[derive(Clone, Copy, Debug)]
struct Sampler;

impl CpuProfiler for Sampler {
    fn profile(&self, time: Duration) -> CpuProfile {
        Box::pin(async move {
            let used = Used::new()?;
            let (done, profile) = oneshot::channel();
            // Dropped with this future, which ends the thread's wait.
            let (_going_on, wait) = channel();
            std::thread::Builder::new()
                .name("profile".to_owned())
                .spawn(move || {
                    let _used = used;
                    // Nobody may want it any more.
                    let _ = done.send(take(time, &wait));
                })
                .map_err(|error| CpuProfileError::Failed(error.to_string()))?;
            profile.await.unwrap_or_else(|_| {
                Err(CpuProfileError::Failed(
                    "the profile was given up".to_owned(),
                ))
            })
        })
    }
}

/// Samples for so long, then puts it together, which takes a while: symbols are read from the program's file.
fn take(time: Duration, wait: &Receiver<()>) -> Result<Vec<u8>, CpuProfileError> {
    let failed = |error: &dyn std::fmt::Display| CpuProfileError::Failed(error.to_string());
    let guard = ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&BLOCKED)
        .build()
        .map_err(|error| failed(&error))?;
    if wait.recv_timeout(time) == Err(RecvTimeoutError::Disconnected) {
        return Err(failed(&"the profile was given up"));
    }
    let report = guard.report().build().map_err(|error| failed(&error))?;
    drop(guard);
    profile::encode(&report).map_err(|error| failed(&error))
}

/// The one profile that is being taken.
#[derive(Debug)]
struct Used;

impl Used {
    fn new() -> Result<Self, CpuProfileError> {
        if IN_USE.swap(true, Ordering::AcqRel) {
            return Err(CpuProfileError::InUse);
        }
        Ok(Self)
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        IN_USE.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::hint::black_box;
    use std::pin::pin;
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Waker};

    use super::*;

    #[inline(never)]
    fn burn_processor_time(until: &AtomicBool) -> u64 {
        let mut sum = 0_u64;
        while !until.load(Ordering::Relaxed) {
            for number in 0..10_000 {
                sum = black_box(sum.wrapping_mul(31).wrapping_add(number));
            }
        }
        sum
    }

    /// One test, since there is one profile at a time.
    #[test]
    fn a_profile_names_what_takes_the_time_and_there_is_one_at_a_time() {
        let done = AtomicBool::new(false);
        let profile = std::thread::scope(|scope| {
            scope.spawn(|| burn_processor_time(&done));
            let mut taken = pin!(Sampler.profile(Duration::from_secs(1)));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(
                taken.as_mut().poll(&mut cx).is_pending(),
                "it takes a second"
            );
            let second = futures_lite::future::block_on(Sampler.profile(Duration::ZERO));
            let profile = futures_lite::future::block_on(taken);
            done.store(true, Ordering::Relaxed);
            assert_eq!(second, Err(CpuProfileError::InUse));
            profile
        });
        let profile = profile.expect("a profile");
        let names = profile::decoded_function_names(&profile);
        assert!(
            names
                .iter()
                .any(|name| name.contains("burn_processor_time")),
            "{names:?}"
        );
        // Given up, it makes room for the next.
        drop(Sampler.profile(Duration::from_secs(3600)));
        let mut given_up = Box::pin(Sampler.profile(Duration::from_secs(3600)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(given_up.as_mut().poll(&mut cx).is_pending());
        drop(given_up);
        while IN_USE.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
}
