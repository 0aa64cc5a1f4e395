//! What the simulation itself does, and what Dialback does in it.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod balance;
mod determinism;
mod echo;
mod executor;
mod mixed;
mod network;
mod policy;
mod reported;
mod storm;
mod throttle;
mod world;
