//! The `process_*` families that every Go program with Prometheus has, read from `/proc` when asked for.

use std::fs::{self, File};
use std::io::Read as _;

use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// Clock ticks per second in `/proc` (`USER_HZ`): the kernel's interface has 100 on every architecture that
/// Dialback runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// A file of `/proc` is read up to this size.
const MAX_BYTES: u64 = 1024 * 1024;

/// What can be read; without a `/proc` nothing.
pub(super) fn families() -> Vec<MetricFamily> {
    let stat = read("stat").and_then(|text| Stat::parse(&text));
    let limits = read("limits");
    let limit = |name| limits.as_deref().and_then(|text| limit(text, name));
    let resident = read("status").and_then(|text| resident_bytes(&text));
    let booted = read_file("/proc/stat").and_then(|text| boot_time(&text));
    let started = booted
        .zip(stat.as_ref())
        .map(|(booted, stat)| booted + stat.started);
    let families = [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            stat.as_ref().map(|stat| stat.cpu),
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            limit("Max open files"),
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            open_descriptors(),
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resident,
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            started,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            stat.as_ref().map(|stat| stat.virtual_bytes),
        ),
        (
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            limit("Max address space"),
        ),
    ];
    families
        .into_iter()
        .filter_map(|(name, help, value)| Some(family(name, help, value?)))
        .collect()
}

fn family(name: &str, help: &str, value: f64) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    let metric = if name.ends_with("_total") {
        family.set_field_type(MetricType::COUNTER);
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        metric
    } else {
        family.set_field_type(MetricType::GAUGE);
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        Metric::from_gauge(gauge)
    };
    family.set_metric(vec![metric]);
    family
}

fn read(name: &str) -> Option<String> {
    read_file(&format!("/proc/self/{name}"))
}

fn read_file(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a process has fewer descriptors than 2^52"
)]
fn open_descriptors() -> Option<f64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is for looking.
    Some(entries.saturating_sub(1) as f64)
}

/// The fields of `/proc/self/stat` in use (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    /// Seconds.
    cpu: f64,
    /// Seconds after the system's boot.
    started: f64,
    virtual_bytes: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name, in parentheses and with any characters inside.
        let (_, after) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // The manual counts from 1, and the first two fields are cut off.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            started: field(22)? / TICKS_PER_SECOND,
            virtual_bytes: field(23)?,
        })
    }
}

/// The soft limit; none is shown as Go shows it, the largest number of 64 bits.
#[expect(
    clippy::cast_precision_loss,
    reason = "RLIM_INFINITY, which floating point can only come near to"
)]
fn limit(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_programs_name() {
        let text = "4711 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 1234 987654 21";
        let expected = Stat {
            cpu: 2.0,
            started: 12.34,
            virtual_bytes: 987_654.0,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("4711 (a) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn limits_are_read_by_name() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        assert_eq!(limit(text, "Max open files"), Some(1024.0));
        assert_eq!(
            limit(text, "Max address space").map(|limit| limit.to_string()),
            Some("18446744073709552000".to_owned())
        );
        assert_eq!(limit(text, "Max processes"), None);
    }

    #[test]
    fn sizes_and_times_are_in_bytes_and_seconds() {
        let status = "Name:\tx\nVmSize:\t 20 kB\nVmRSS:\t     10 kB\n";
        assert_eq!(resident_bytes(status), Some(10_240.0));
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1732339410\n"),
            Some(1_732_339_410.0)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_all_families() {
        let names: Vec<_> = families()
            .iter()
            .map(|family| family.name().to_owned())
            .collect();
        assert_eq!(names.len(), 7, "{names:?}");
    }
}
