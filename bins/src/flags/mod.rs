//! The command lines of `proxy-server` and `proxy-agent`: flags, their values, and what they may be.
//!
//! Both read like the reference's, which uses the Go library pflag: the same names, types, defaults, value syntax and
//! error texts. The parser is our own, a table of flags and some hundred lines, rather than clap: pflag's quirks are
//! part of what manifests and scripts rely on (`--flag false` is true and a stray word, a value may begin with a
//! hyphen, `-v2`, lists that append, `--help=false`, deprecated flags), and so are its messages and its usage text.
//! With clap the parser, the error texts and the help would all have to be replaced to get there.
//!
//! A command line becomes options in two steps: [`FlagSet::parse`] fills a struct of plain values, in which anything
//! is possible that the syntax allows; then [`ServerFlags::validate`] or [`AgentFlags::validate`] makes of that
//! the typed [`ServerOptions`] or [`AgentOptions`], or says everything that is wrong.
//!
//! The value parsers are tested against tables that a Go program wrote (`tests/oracle/`).

mod agent;
mod audit;
mod command_line;
mod error;
mod identity;
mod kubernetes;
mod limits;
mod listen;
mod logging;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod page;
mod problem;
mod quote;
mod runtime;
mod server;
mod set;
mod tunnel;
mod usage;
mod value;

pub use agent::{AgentFlags, AgentOptions, agent_flags};
pub use audit::{AuditFileOptions, AuditFlags, AuditFormat, AuditOptions, AuditOutput};
pub use command_line::CommandLine;
pub use error::FlagError;
pub use kubernetes::{KubernetesOptions, LeaseCounting, LeasePublishing, TokenAuthentication};
pub use limits::{LimitFlags, LimitOptions};
pub use listen::{CertificatePair, ListenAddress};
pub use logging::LoggingOptions;
pub use problem::{CheckedFile, InvalidOptions, OptionProblem, Validated};
pub(crate) use quote::escape_into;
pub use quote::quote;
pub use runtime::RuntimeName;
pub use server::{
    AgentListener, FrontendListener, FrontendMode, ServerFlags, ServerOptions, server_flags,
};
pub use set::{Flag, FlagSet, Parsed};
pub use tunnel::{TunnelFlags, TunnelOptions};
pub use value::*;
