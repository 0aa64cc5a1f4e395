//! Daemons as child processes, for tests of the programs themselves.
#![allow(
    dead_code,
    reason = "every test binary compiles this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

pub(crate) mod address;
pub(crate) mod api_server;
pub(crate) mod daemon;
pub(crate) mod pair;
pub(crate) mod stream;
