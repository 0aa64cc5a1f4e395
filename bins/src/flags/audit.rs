//! The audit log of a server: the flags that kube-apiserver has for its own, with their meaning there.

use std::path::PathBuf;
use std::time::Duration;

use dialback_core::audit::{AuditMode, DEFAULT_MAX_BYTES};

use super::command_line::CommandLine;
use super::listen::path_from_flag;
use super::problem::{Check, OptionProblem};
use super::server::ServerFlags;
use super::set::Flag;

/// Where `--audit-log-path` means standard output.
const STANDARD_OUTPUT: &str = "-";
/// A megabyte of `--audit-log-maxsize`.
const MEGABYTE: u64 = 1024 * 1024;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The flags, as given.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the flag of its name")]
pub struct AuditFlags {
    pub audit_log_path: String,
    pub audit_log_maxsize: i64,
    pub audit_log_maxage: i64,
    pub audit_log_maxbackup: i64,
    pub audit_log_compress: bool,
    pub audit_log_format: String,
    pub audit_log_mode: String,
    pub audit_log_batch_buffer_size: i64,
    pub audit_policy_file: String,
}

/// What is recorded of agents and streams, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditOptions {
    /// Where: `--audit-log-path`.
    pub output: AuditOutput,
    /// How a record is written: `--audit-log-format`.
    pub format: AuditFormat,
    /// What happens when records can't be written: `--audit-log-mode`.
    pub mode: AuditMode,
    /// How many records may wait to be written: `--audit-log-batch-buffer-size`, default 10,000.
    pub waiting: usize,
    /// Which events are recorded, and with which fields: `--audit-policy-file`; `None` for all.
    pub policy: Option<PathBuf>,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditOutput {
    /// Standard output.
    Standard,
    /// A file, which makes way for the next when it is full.
    File(AuditFileOptions),
}

/// Which file the audit log is, and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFileOptions {
    /// Its path.
    pub path: PathBuf,
    /// When it is full, in bytes: `--audit-log-maxsize`, default 100 MiB.
    pub max_bytes: u64,
    /// For how long full ones are kept: `--audit-log-maxage`, in days; `None` and zero for ever.
    pub max_age: Option<Duration>,
    /// How many full ones are kept: `--audit-log-maxbackup`; `None` and zero for all.
    pub max_backups: Option<usize>,
    /// Whether full ones are compressed: `--audit-log-compress`.
    pub compress: bool,
}

/// How a record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditFormat {
    /// A JSON object on a line.
    #[default]
    Json,
    /// The same fields as `name="value"`.
    Legacy,
}

/// A line for each field of [`AuditFlags`].
pub(super) fn audit_flags() -> [Flag<CommandLine<ServerFlags>>; 9] {
    [
        Flag::new(
            "audit-log-path",
            "",
            "File to which is written which frontends reached what through which agents; '-' for standard output, empty for none; docs/auditing.md.",
            |c: &mut CommandLine<ServerFlags>| &mut c.daemon.audit.audit_log_path,
        ),
        Flag::new(
            "audit-log-maxsize",
            "100",
            "Megabytes of the audit log file at which it makes way for the next; 0 for 100.",
            |c| &mut c.daemon.audit.audit_log_maxsize,
        ),
        Flag::new(
            "audit-log-maxage",
            "0",
            "Days for which full audit log files are kept, by the time in their names; 0 for any number.",
            |c| &mut c.daemon.audit.audit_log_maxage,
        ),
        Flag::new(
            "audit-log-maxbackup",
            "0",
            "How many full audit log files are kept; 0 for any number.",
            |c| &mut c.daemon.audit.audit_log_maxbackup,
        ),
        Flag::new(
            "audit-log-compress",
            "false",
            "Whether full audit log files are compressed (gzip).",
            |c| &mut c.daemon.audit.audit_log_compress,
        ),
        Flag::new(
            "audit-log-format",
            "json",
            "How a record is written: 'json' for an object on a line, 'legacy' for name=\"value\" pairs on one.",
            |c| &mut c.daemon.audit.audit_log_format,
        ),
        Flag::new(
            "audit-log-mode",
            "best-effort",
            "What happens when the audit log can't be written, or not fast enough: 'best-effort' drops records and says how many, 'strict' refuses new streams and agents.",
            |c| &mut c.daemon.audit.audit_log_mode,
        ),
        Flag::new(
            "audit-log-batch-buffer-size",
            "10000",
            "How many records may wait to be written to the audit log.",
            |c| &mut c.daemon.audit.audit_log_batch_buffer_size,
        ),
        Flag::new(
            "audit-policy-file",
            "",
            "File (YAML) that says which events are recorded, and with which fields; docs/auditing.md. Empty for all.",
            |c| &mut c.daemon.audit.audit_policy_file,
        ),
    ]
}

impl AuditFlags {
    pub(super) fn validate(&self, check: &mut Check) -> Option<AuditOptions> {
        let format = check.value(match self.audit_log_format.as_str() {
            "json" => Ok(AuditFormat::Json),
            "legacy" => Ok(AuditFormat::Legacy),
            other => Err(OptionProblem::AuditFormat(other.to_owned())),
        });
        let mode = check.value(match self.audit_log_mode.as_str() {
            "best-effort" => Ok(AuditMode::BestEffort),
            "strict" => Ok(AuditMode::Strict),
            other => Err(OptionProblem::AuditMode(other.to_owned())),
        });
        let mut count = |flag, value: i64| {
            check.refuse_if(value < 0, || OptionProblem::Negative { flag, value });
            u64::try_from(value).unwrap_or_default()
        };
        let max_bytes = match count("audit-log-maxsize", self.audit_log_maxsize) {
            0 => DEFAULT_MAX_BYTES,
            megabytes => megabytes.saturating_mul(MEGABYTE),
        };
        let days = count("audit-log-maxage", self.audit_log_maxage);
        let backups = count("audit-log-maxbackup", self.audit_log_maxbackup);
        let waiting = self.audit_log_batch_buffer_size;
        check.refuse_if(waiting < 1, || OptionProblem::TooFew {
            flag: "audit-log-batch-buffer-size",
            value: waiting,
        });
        let policy = path_from_flag(&self.audit_policy_file);
        let Some(path) = path_from_flag(&self.audit_log_path) else {
            check.refuse_if(policy.is_some(), || OptionProblem::AuditPolicyWithoutLog);
            return None;
        };
        let output = if self.audit_log_path == STANDARD_OUTPUT {
            AuditOutput::Standard
        } else {
            let days = Some(u32::try_from(days).unwrap_or(u32::MAX)).filter(|days| *days > 0);
            AuditOutput::File(AuditFileOptions {
                path,
                max_bytes,
                max_age: days.map(|days| DAY * days),
                max_backups: usize::try_from(backups).ok().filter(|backups| *backups > 0),
                compress: self.audit_log_compress,
            })
        };
        Some(AuditOptions {
            output,
            format,
            mode,
            waiting: usize::try_from(waiting).unwrap_or(1),
            policy,
        })
    }
}
