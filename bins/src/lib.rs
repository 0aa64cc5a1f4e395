//! `proxy-server` and `proxy-agent`, drop-in for Konnectivity's, and the parts of the `dialback` tool.

pub mod flags;
pub mod logging;
