//! `proxy-server` and `proxy-agent`, drop-in for Konnectivity's, and the parts of the `dialback` tool.

mod audit;
pub mod bench;
pub mod certs;
pub mod daemon;
pub mod demo;
mod expiry;
pub mod flags;
mod kubernetes;
pub mod logging;
mod profiling;
pub mod proxy_agent;
pub mod proxy_server;
mod reload;
mod status;
pub mod tool;
