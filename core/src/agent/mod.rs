//! The agent's machines: its links to servers.

mod backoff;
pub mod fleet;
pub mod link;

pub use fleet::{Fleet, FleetAction, FleetConfig, FleetEvent};
pub use link::{EndpointOutput, Link, LinkConfig, LinkEvent};
