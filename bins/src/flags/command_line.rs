//! What the command lines of both daemons have in common.

use super::logging::{LoggingOptions, logging_flags};
use super::runtime::RuntimeName;
use super::set::{Flag, FlagSet};

/// The flags of a daemon whose own are a `D`, as given.
#[derive(Clone, Debug, Default)]
pub struct CommandLine<D> {
    /// Whether to print the usage text and end.
    pub help: bool,
    /// Whether to print the version and end. Ours.
    pub version: bool,
    /// What its connections run on. Ours.
    pub runtime: RuntimeName,
    /// About the log.
    pub logging: LoggingOptions,
    /// The daemon's own.
    pub daemon: D,
}

/// The flags of a daemon: `own` and those that both have. `help` and `version` say in the usage text what these do.
pub(super) fn with_common_flags<D: Default>(
    own: Vec<Flag<CommandLine<D>>>,
    help: &'static str,
    version: &'static str,
) -> FlagSet<CommandLine<D>> {
    let mut flags = own;
    flags.push(
        Flag::new("help", "false", help, |c: &mut CommandLine<D>| &mut c.help).shorthand('h'),
    );
    flags.push(Flag::new("version", "false", version, |c| &mut c.version));
    flags.push(Flag::new(
        "runtime",
        "tokio",
        "What connections run on: 'tokio' or 'smol'.",
        |c| &mut c.runtime,
    ));
    flags.extend(logging_flags());
    FlagSet::new(flags)
}
