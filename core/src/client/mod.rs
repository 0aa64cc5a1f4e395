//! The frontend's machine: one connection through a proxy server.

mod config;
mod error;
mod tunnel;

pub use config::TunnelConfig;
pub use error::{ConnectionError, DialError, DialFailure, TunnelLoss};
pub use tunnel::{ReadOutput, Tunnel, TunnelEvent};
