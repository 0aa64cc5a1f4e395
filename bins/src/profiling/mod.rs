//! CPU profiles for `/debug/pprof/profile`.
//!
//! A signal interrupts whichever thread runs, a hundred times a second of CPU time, and notes its stack; nothing happens
//! while no profile is taken. What walks the stack must not meet a lock that the interrupted thread holds: on Linux with
//! glibc the libraries where that could be are left out, elsewhere there are no profiles.

#[cfg_attr(
    not(all(
        target_os = "linux",
        target_env = "gnu",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )),
    path = "no_sampler.rs"
)]
mod sampler;

use dialback_runtime::http::{Routes, with_profiles};

/// Adds the paths of pprof to the routes of an admin port, if they are asked for: `--enable-profiling`.
pub(crate) fn with_profiling(routes: impl Routes, enabled: bool) -> impl Routes {
    with_profiles(routes, enabled, sampler::sampler())
}
