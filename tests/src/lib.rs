//! What whole-system tests need: a server and agents in one process over real loopback sockets, endpoints that
//! behave and misbehave, frontends that dial through them, and peers that tests play by hand.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect fails it, whatever it is"
)]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(missing_debug_implementations, reason = "test support")]

pub mod agent;
pub mod audit;
pub mod call;
pub mod canary;
pub mod descriptors;
pub mod endpoint;
pub mod frontend;
pub mod log;
pub mod observed;
pub mod pair;
pub mod path;
pub mod peers;
pub mod pki;
pub mod relay;
pub mod run;
pub mod server;
pub mod task;
pub mod tunnel;
pub mod wait;
pub mod world;

/// The programs in the manual.
#[cfg(doctest)]
#[doc = include_str!("../../docs/client.md")]
struct ClientManual;

#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct EmbeddingManual;
