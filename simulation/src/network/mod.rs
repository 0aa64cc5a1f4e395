//! The network: TCP as its users see it, without loss or reordering, but with everything else that goes wrong.
//!
//! What one end sends travels as parcels, in order, over the path between two hosts: it waits for the bandwidth that
//! all connections of the path share, then for the latency. Where the path is blocked, or the other host is down,
//! parcels wait, as they would be sent again and again, and their sender gives up after its `TCP_USER_TIMEOUT`, or
//! when its keep-alive probes stay unanswered.

mod agenda;
mod connect;
mod connection;
mod failure;
mod faults;
mod host_state;
mod listener;
mod path;
mod stream;
mod travel;

pub(crate) use agenda::Agenda;
pub(crate) use connection::{Connection, ConnectionId, Kind, Side};
pub use faults::Told;
pub(crate) use host_state::{HostId, HostState, Place};
pub(crate) use listener::Backlog;
pub use listener::SimulatedListener;
pub use path::PathConfig;
pub(crate) use path::Paths;
pub use stream::SimulatedStream;
