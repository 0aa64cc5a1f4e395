//! The Konnectivity protocol as pure state machines.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and random ids come in as arguments.

#![warn(missing_docs)]

pub mod agent;
mod byte_queue;
pub mod client;
mod close;
pub mod connect;
mod entropy;
pub mod http2;
mod ids;
mod mux;
pub mod server;
pub mod wire;

pub use close::{CloseReason, Initiator};
pub use entropy::Entropy;
pub use ids::{ConnectId, DialId, LinkId, StreamId};
pub use mux::{MuxConfig, Negotiated};
pub use wire::{Packet, PacketKind};
