//! What whole-system tests need: a server and an agent in one process over real loopback sockets, endpoints that
//! behave and misbehave, frontends that dial through them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(missing_debug_implementations, reason = "test support")]

pub mod endpoint;
pub mod frontend;
pub mod pair;
pub mod pki;
