//! The process's file descriptors.

use crate::wait::eventually;

/// How many are open; for tests that run alone.
///
/// # Panics
/// On systems without `/proc`.
#[must_use]
pub fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until no more than `before` are open.
///
/// # Panics
/// When some stay open.
pub async fn back_to(before: usize) {
    eventually("descriptors are closed", || open() <= before).await;
}

/// Lets this process open as many as it may without privileges.
///
/// # Panics
/// When that is fewer than `needed`.
pub fn allow(needed: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    assert!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "needs {needed} descriptors, may have {maximum:?} (RLIMIT_NOFILE)"
    );
}
