//! Whole-system tests over real loopback sockets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a test does not expect fails it"
)]

mod audit;
mod authentication;
mod bad_input;
mod connect;
mod connect_answers;
mod connectivity;
mod connector;
mod contract;
mod dialled_address;
mod examples;
mod faults;
mod fleet;
mod grpc;
mod half_close;
mod handshakes;
mod hedging;
mod idle;
mod long_path;
mod loss;
mod metrics;
mod policy;
mod probe;
mod resume;
mod rolling;
mod stalls;
mod status;
mod stop;
mod vanish;
