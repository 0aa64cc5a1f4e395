//! Outgoing TCP connections: an agent's to endpoints, and to the proxy server, through an HTTP proxy where the
//! environment names one.

mod address;
mod connect;
mod endpoint;
mod failure;
mod name_server;
mod no_proxy;
mod proxy;
mod race;
mod server;

pub use endpoint::{dial_endpoint, dial_endpoint_within};
pub use failure::DialFailure;
pub use proxy::{InvalidProxy, ProxyEnvironment};
pub use server::{ProxyDialError, dial_server};
