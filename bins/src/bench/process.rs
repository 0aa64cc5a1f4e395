//! What a process has used, from `/proc` (proc(5)).

use std::fs;
use std::io;

/// The kernel tells CPU time in units of which this many make a second: `USER_HZ`, which is 100 on every
/// architecture that Rust's standard library supports on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time of all threads of the processes, user and system, ended threads included; in seconds.
pub(super) fn cpu_seconds(pids: [u32; 2]) -> io::Result<f64> {
    let mut ticks = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(&path)?;
        ticks += cpu_ticks(&stat).ok_or_else(|| unexpected(&path))?;
    }
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// The memory that the process occupies, in KiB.
///
/// From `smaps_rollup`, since the figure in `status` is kept per CPU and may be off by some hundred KiB.
pub(super) fn resident_kib(pid: u32) -> io::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path)?;
    rss_kib(&rollup).ok_or_else(|| unexpected(&path))
}

/// How many descriptors this process may have open; `None` for no limit.
pub(super) fn descriptor_limit() -> io::Result<Option<u64>> {
    let path = "/proc/self/limits";
    let limits = fs::read_to_string(path)?;
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or_else(|| unexpected(path))?;
    match soft {
        "unlimited" => Ok(None),
        number => number.parse().map(Some).map_err(|_| unexpected(path)),
    }
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field, the command in parentheses, may itself contain blanks and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn rss_kib(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn unexpected(path: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{path} is not of the form that proc(5) tells"),
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_an_awkward_name() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 10 11 12 13 250 50 7 8 20 0 3 0 99 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("42 (x) S 1"), None);
    }

    #[test]
    fn resident_memory_is_found_in_the_rollup() {
        let rollup = "55-77 ---p 0 00:00 0 [rollup]\nRss:                1234 kB\nPss:  9 kB\n";
        assert_eq!(rss_kib(rollup), Some(1234));
        assert_eq!(rss_kib("Pss: 9 kB\n"), None);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let pid = std::process::id();
        assert!(cpu_seconds([pid, pid]).unwrap() >= 0.0);
        assert!(resident_kib(pid).unwrap() > 0);
        assert!(descriptor_limit().unwrap().is_none_or(|limit| limit > 0));
    }
}
