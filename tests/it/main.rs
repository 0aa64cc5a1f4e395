//! Whole-system tests over real loopback sockets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod connect;
mod connect_answers;
mod grpc;
mod stalls;
