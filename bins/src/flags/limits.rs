//! The bounds of a server that an operator may set; all ours.

use std::time::Duration;

use super::command_line::CommandLine;
use super::problem::{Check, OptionProblem};
use super::server::ServerFlags;
use super::set::Flag;
use super::value::GoDuration;

/// With fewer bytes a destination may not fit.
const LEAST_HTTP_HEADER: u32 = 1024;
/// With fewer bytes an agent's identifiers and its token may not fit.
const LEAST_GRPC_METADATA: u32 = 8 * 1024;

/// The flags, as given.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "each field is the flag of its name")]
pub struct LimitFlags {
    pub max_frontends: i64,
    pub max_agents: i64,
    pub max_agent_handshakes: i64,
    pub max_http_header_bytes: i64,
    pub max_grpc_metadata_bytes: i64,
    pub max_streams_per_agent: i64,
    pub max_pending_dials: i64,
    pub handshake_timeout: GoDuration,
}

/// How much a server takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOptions {
    /// Frontend connections at a time: `--max-frontends`, default 20,000; further ones wait to be accepted.
    pub max_frontends: usize,
    /// Agent connections at a time: `--max-agents`, default 20,000; further ones wait to be accepted.
    pub max_agents: usize,
    /// TLS handshakes of agents at a time: `--max-agent-handshakes`, default 128; further ones wait for their turn.
    pub max_agent_handshakes: usize,
    /// Bytes of an HTTP request's header: `--max-http-header-bytes`, default 1 MiB; a longer one gets status 431.
    pub max_http_header_bytes: usize,
    /// Bytes of a gRPC call's metadata: `--max-grpc-metadata-bytes`, default 64 KiB; a call with more is refused.
    pub max_grpc_metadata_bytes: u32,
    /// Streams on one agent's tunnel: `--max-streams-per-agent`, default 16,384; a further dial fails.
    pub max_streams_per_agent: usize,
    /// Dials that wait for one agent's answer: `--max-pending-dials`, default 16,384; a further one fails.
    pub max_pending_dials: usize,
    /// How long a peer may take for TLS and the start of HTTP/2: `--handshake-timeout`, default 2 min.
    pub handshake_timeout: Duration,
}

/// A line for each field of [`LimitFlags`].
pub(super) fn limit_flags() -> [Flag<CommandLine<ServerFlags>>; 8] {
    [
        Flag::new(
            "max-frontends",
            "20000",
            "How many connections of frontends are served at a time; further ones wait to be accepted.",
            |c: &mut CommandLine<ServerFlags>| &mut c.daemon.limits.max_frontends,
        ),
        Flag::new(
            "max-agents",
            "20000",
            "How many connections of agents are served at a time; further ones wait to be accepted.",
            |c| &mut c.daemon.limits.max_agents,
        ),
        Flag::new(
            "max-agent-handshakes",
            "128",
            "How many agents are in their TLS handshake at a time; further ones wait for their turn.",
            |c| &mut c.daemon.limits.max_agent_handshakes,
        ),
        Flag::new(
            "max-http-header-bytes",
            "1048576",
            "How many bytes the header of a frontend's HTTP request may have; a longer one is answered with status 431.",
            |c| &mut c.daemon.limits.max_http_header_bytes,
        ),
        Flag::new(
            "max-grpc-metadata-bytes",
            "65536",
            "How many bytes the metadata of a frontend's or an agent's call may have; a call with more is refused.",
            |c| &mut c.daemon.limits.max_grpc_metadata_bytes,
        ),
        Flag::new(
            "max-streams-per-agent",
            "16384",
            "How many connections one agent's tunnel carries at a time; further dials fail.",
            |c| &mut c.daemon.limits.max_streams_per_agent,
        ),
        Flag::new(
            "max-pending-dials",
            "16384",
            "How many dials wait for one agent's answer at a time; further ones fail.",
            |c| &mut c.daemon.limits.max_pending_dials,
        ),
        Flag::new(
            "handshake-timeout",
            "2m0s",
            "How long a frontend or an agent may take for its TLS handshake and the start of HTTP/2.",
            |c| &mut c.daemon.limits.handshake_timeout,
        ),
    ]
}

impl LimitFlags {
    pub(super) fn validate(&self, check: &mut Check) -> LimitOptions {
        let mut count = |flag, value: i64| {
            let count = usize::try_from(value).ok().filter(|count| *count > 0);
            check.refuse_if(count.is_none(), || OptionProblem::TooFew { flag, value });
            count.unwrap_or(1)
        };
        let [
            max_frontends,
            max_agents,
            max_agent_handshakes,
            max_streams_per_agent,
            max_pending_dials,
        ] = [
            ("max-frontends", self.max_frontends),
            ("max-agents", self.max_agents),
            ("max-agent-handshakes", self.max_agent_handshakes),
            ("max-streams-per-agent", self.max_streams_per_agent),
            ("max-pending-dials", self.max_pending_dials),
        ]
        .map(|(flag, value)| count(flag, value));
        let mut bytes = |flag, value: i64, least: u32| {
            let few = value < i64::from(least);
            check.refuse_if(few, || OptionProblem::TooFewBytes {
                flag,
                value,
                least: least.into(),
            });
            u32::try_from(value.max(least.into())).unwrap_or(u32::MAX)
        };
        let max_http_header_bytes = bytes(
            "max-http-header-bytes",
            self.max_http_header_bytes,
            LEAST_HTTP_HEADER,
        );
        let max_grpc_metadata_bytes = bytes(
            "max-grpc-metadata-bytes",
            self.max_grpc_metadata_bytes,
            LEAST_GRPC_METADATA,
        );
        let limits = LimitOptions {
            max_frontends,
            max_agents,
            max_agent_handshakes,
            max_http_header_bytes: usize::try_from(max_http_header_bytes).unwrap_or(usize::MAX),
            max_grpc_metadata_bytes,
            max_streams_per_agent,
            max_pending_dials,
            handshake_timeout: self.handshake_timeout.positive().unwrap_or_default(),
        };
        check.refuse_if(limits.handshake_timeout.is_zero(), || {
            OptionProblem::NoTime {
                flag: "handshake-timeout",
                value: self.handshake_timeout,
            }
        });
        limits
    }
}
