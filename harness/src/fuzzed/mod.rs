//! What the fuzz targets run: each takes any bytes and panics where something is wrong.
//!
//! Here, so that what the fuzzer has found is replayed by ordinary tests too, on any toolchain.

mod authority;
mod connectivity;
mod http_connect;
mod metadata;
mod router;
mod wire;

use crate::hostile::{check_agent_link, check_proxy_stream, check_server_link};
use crate::scenario::{Rules, check};

/// A fuzz target: the name of its corpus, and what it does with each file of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As in `fuzz/Cargo.toml` and `fuzz/corpus/`.
    pub name: &'static str,
    /// Panics where something is wrong.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 12] = [
    target("agent_link", check_agent_link),
    target("authority", authority::check),
    target("connectivity", connectivity::check),
    target("http_connect", http_connect::check),
    target("metadata", metadata::check),
    target("proxy_stream", check_proxy_stream),
    target("resume", |bytes| check(Rules::AlwaysResumed, bytes)),
    target("router", router::check),
    target("scenario", |bytes| check(Rules::Any, bytes)),
    target("server_link", check_server_link),
    target("short_of_memory", |bytes| {
        check(Rules::ShortOfMemory, bytes)
    }),
    target("wire", wire::check),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// Runs the target of that name.
///
/// # Panics
///
/// When the target does, or there is none of that name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target of that name");
    (target.run)(bytes);
}
