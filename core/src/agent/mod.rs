//! The agent's machines: its links to servers.

pub mod link;

pub use link::{EndpointOutput, Link, LinkConfig, LinkEvent};
