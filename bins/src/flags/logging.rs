//! The flags of klog, which both daemons have, and ours beside them.

use super::command_line::CommandLine;
use super::set::Flag;
use super::value::{KlogBool, KlogCount, LogFormat, Severity, TraceLocation, VModule, Verbosity};

/// Where log lines go, which ones, and how they look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggingOptions {
    /// How chatty the log is. Default 4.
    pub verbosity: Verbosity,
    /// More verbosity for some source files.
    pub vmodule: VModule,
    /// How lines look. Ours; default text.
    pub format: LogFormat,
    /// Whether lines go to standard error and no files are written. Default yes.
    pub to_stderr: KlogBool,
    /// With files: whether lines go to standard error too.
    pub also_to_stderr: KlogBool,
    /// The least severity for `also_to_stderr`.
    pub also_to_stderr_threshold: Severity,
    /// With files: lines at or above this severity go to standard error too. Default error.
    pub stderr_threshold: Severity,
    /// Whether `stderr_threshold` means nothing when no files are written. Default yes.
    pub legacy_stderr_threshold: KlogBool,
    /// The one log file; empty for one file per severity in `directory`.
    pub file: String,
    /// Where the log files go; empty for the directory for temporary files.
    pub directory: String,
    /// How large `file` may grow before it starts over, in MiB; 0 for no limit. Default 1800.
    pub file_limit_mib: KlogCount,
    /// Whether a line goes to its own severity's file alone, instead of the files of lower ones as well.
    pub one_output: KlogBool,
    /// Whether lines lack the prefix with time and place.
    pub skip_headers: KlogBool,
    /// Whether log files begin without the lines that say where and when.
    pub skip_file_headers: KlogBool,
    /// Whether the prefix names the source file with its directory.
    pub directory_in_header: KlogBool,
    /// Log lines from there come with a stack trace.
    pub backtrace_at: TraceLocation,
}

/// klog's flags as the reference registers them, and `--logging-format`.
pub(super) fn logging_flags<D>() -> Vec<Flag<CommandLine<D>>> {
    vec![
        Flag::new(
            "v",
            "4",
            "How chatty the log is: debug lines come from 5, traces from 6, those of libraries from 8 and 9.",
            |c: &mut CommandLine<D>| &mut c.logging.verbosity,
        )
        .shorthand('v'),
        Flag::new(
            "vmodule",
            "",
            "Comma-separated list of pattern=N: the verbosity for source files whose name without '.rs' matches.",
            |c| &mut c.logging.vmodule,
        ),
        Flag::new(
            "logging-format",
            "text",
            "How log lines look: 'text' as klog writes them, or 'json' with one object a line.",
            |c| &mut c.logging.format,
        ),
        Flag::new(
            "logtostderr",
            "true",
            "Log to standard error instead of files.",
            |c| &mut c.logging.to_stderr,
        ),
        Flag::new(
            "alsologtostderr",
            "false",
            "Log to standard error as well as files (no effect with --logtostderr=true).",
            |c| &mut c.logging.also_to_stderr,
        ),
        Flag::new(
            "alsologtostderrthreshold",
            "0",
            "The least severity that --alsologtostderr sends to standard error (no effect with --logtostderr=true).",
            |c| &mut c.logging.also_to_stderr_threshold,
        ),
        Flag::new(
            "stderrthreshold",
            "2",
            "Lines at or above this severity go to standard error when logging to files (no effect with \
             --logtostderr=true unless --legacy-stderr-threshold-behavior=false, nor with --alsologtostderr=true).",
            |c| &mut c.logging.stderr_threshold,
        ),
        Flag::new(
            "legacy-stderr-threshold-behavior",
            "true",
            "Whether --stderrthreshold is ignored with --logtostderr=true.",
            |c| &mut c.logging.legacy_stderr_threshold,
        ),
        Flag::new(
            "log-file",
            "",
            "Log to this file (no effect with --logtostderr=true).",
            |c| &mut c.logging.file,
        ),
        Flag::new(
            "log-dir",
            "",
            "Write one log file per severity to this directory (no effect with --logtostderr=true).",
            |c| &mut c.logging.directory,
        ),
        Flag::new(
            "log-file-max-size",
            "1800",
            "How large --log-file may grow before it starts over, in megabytes; 0 for no limit (no effect with \
             --logtostderr=true).",
            |c| &mut c.logging.file_limit_mib,
        ),
        Flag::new(
            "one-output",
            "false",
            "Write a line only to the log file of its own severity, not to those of lower ones as well (no effect \
             with --logtostderr=true).",
            |c| &mut c.logging.one_output,
        ),
        Flag::new(
            "skip-headers",
            "false",
            "Leave out the prefix of log lines.",
            |c| &mut c.logging.skip_headers,
        ),
        Flag::new(
            "skip-log-headers",
            "false",
            "Leave out the first lines of log files that say where and when (no effect with --logtostderr=true).",
            |c| &mut c.logging.skip_file_headers,
        ),
        Flag::new(
            "add-dir-header",
            "false",
            "Show the directory of the source file in the prefix of log lines.",
            |c| &mut c.logging.directory_in_header,
        ),
        Flag::new(
            "log-backtrace-at",
            "",
            "Add a stack trace to the log lines of this line of source code, file.rs:N.",
            |c| &mut c.logging.backtrace_at,
        ),
    ]
}
