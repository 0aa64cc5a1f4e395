//! gRPC over h2: both ends against each other, and each against a peer that writes its frames by hand.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod authority;
mod backpressure;
mod calls;
mod going_away;
mod harness;
mod keepalive;
mod messages;
mod pings;
mod raw;
