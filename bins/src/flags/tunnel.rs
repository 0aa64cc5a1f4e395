//! The flags of both daemons about the tunnels between them; all ours.

use std::time::Duration;

use dialback_core::{MemoryBudget, MuxConfig, SessionConfig};

use super::command_line::CommandLine;
use super::problem::{Check, OptionProblem};
use super::set::Flag;
use super::value::GoDuration;

/// The flags about tunnels, as given.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the flag of its name")]
pub struct TunnelFlags {
    pub slow_stream_timeout: GoDuration,
    pub resume_timeout: GoDuration,
    pub max_stream_window: i64,
    pub memory_budget: i64,
}

/// How tunnels behave, as far as an operator decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelOptions {
    /// How long a stream at its bound may take nothing before it alone is reset: `--slow-stream-timeout`, default
    /// 10 s, above zero. Smaller cuts slow readers, larger lets one hold up its tunnel.
    pub slow_stream_timeout: Duration,
    /// How long streams outlive a lost connection between agent and server: `--resume-timeout`, default 30 s; zero
    /// for not at all.
    pub resume_timeout: Duration,
    /// What the window of one stream may grow to, in bytes: `--max-stream-window`, default 8 MiB, at least 256 KiB.
    pub max_stream_window_bytes: u64,
    /// What all streams of the process may hold, in bytes: `--memory-budget`, default 256 MiB, at least 16 MiB.
    pub memory_budget_bytes: usize,
}

/// The least that `--memory-budget` may be, in bytes.
const MIN_MEMORY_BUDGET: i64 = 16 * 1024 * 1024;

impl TunnelOptions {
    /// The bounds of each tunnel's streams, which share one budget.
    #[must_use]
    pub fn mux(&self) -> MuxConfig {
        MuxConfig {
            slow_stream_timeout: self.slow_stream_timeout,
            max_receive_window_bytes: self.max_stream_window_bytes,
            memory: MemoryBudget::new(self.memory_budget_bytes),
            ..MuxConfig::default()
        }
    }

    /// The bounds of each tunnel's session.
    #[must_use]
    pub fn session(&self) -> SessionConfig {
        SessionConfig {
            timeout: self.resume_timeout,
            ..SessionConfig::default()
        }
    }
}

/// The flags of a daemon that has tunnels.
pub(super) trait HasTunnelFlags {
    fn tunnel(&mut self) -> &mut TunnelFlags;
}

/// A line for each field of [`TunnelFlags`].
pub(super) fn tunnel_flags<D: HasTunnelFlags>() -> [Flag<CommandLine<D>>; 4] {
    [
        Flag::new(
            "slow-stream-timeout",
            "10s",
            "How long a connection may take nothing, while others wait for it on the same tunnel, before it is reset.",
            |c: &mut CommandLine<D>| &mut c.daemon.tunnel().slow_stream_timeout,
        ),
        Flag::new(
            "resume-timeout",
            "30s",
            "How long streams wait for a lost tunnel between agent and server to come back, where both are Dialback's; 0 ends them at once.",
            |c| &mut c.daemon.tunnel().resume_timeout,
        ),
        Flag::new(
            "max-stream-window",
            "8388608",
            "How many `bytes` may be under way to this daemon on one stream of a long path, where both ends are Dialback's.",
            |c| &mut c.daemon.tunnel().max_stream_window,
        ),
        Flag::new(
            "memory-budget",
            "268435456",
            "How many `bytes` all streams may hold; beyond, each is read only piece by piece, and none is ended.",
            |c| &mut c.daemon.tunnel().memory_budget,
        ),
    ]
}

impl TunnelFlags {
    pub(super) fn validate(&self, check: &mut Check) -> TunnelOptions {
        let slow_stream_timeout = self.slow_stream_timeout.positive();
        check.refuse_if(slow_stream_timeout.is_none(), || OptionProblem::NoTime {
            flag: "slow-stream-timeout",
            value: self.slow_stream_timeout,
        });
        let resume_timeout = check.non_negative("resume-timeout", self.resume_timeout);
        let mut at_least = |flag, value: i64, least: u64| {
            let bytes = u64::try_from(value).unwrap_or(0);
            check.refuse_if(bytes < least, || OptionProblem::TooFewBytes {
                flag,
                value,
                least,
            });
            bytes
        };
        let first_window = MuxConfig::default().receive_window_bytes;
        let window = at_least("max-stream-window", self.max_stream_window, first_window);
        let budget = at_least(
            "memory-budget",
            self.memory_budget,
            MIN_MEMORY_BUDGET.unsigned_abs(),
        );
        TunnelOptions {
            slow_stream_timeout: slow_stream_timeout.unwrap_or_default(),
            resume_timeout,
            max_stream_window_bytes: window,
            memory_budget_bytes: usize::try_from(budget).unwrap_or(usize::MAX),
        }
    }
}
