//! Whole-system tests over real loopback sockets.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect fails it, whatever it is"
)]
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bad_input;
mod connect;
mod connect_answers;
mod fleet;
mod grpc;
mod loss;
mod stalls;
