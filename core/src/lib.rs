//! The Konnectivity protocol as pure state machines.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and random ids come in as arguments.

#![warn(missing_docs)]

mod ids;
pub mod wire;

pub use ids::{ConnectId, DialId, LinkId, StreamId};
pub use wire::{Packet, PacketKind};
