//! The small HTTP/1.1 server behind the health and admin ports.
//!
//! Plain text, no authentication, mostly answers that are there at once: `/healthz`, `/readyz`, `/metrics`. Whoever
//! can reach a port may ask it anything, so every connection is bounded in number, size and time.

mod connection;
mod debug_flags;
mod profiles;
mod readiness;
mod request;
mod response;
mod routes;
mod serve;

pub use debug_flags::with_verbosity;
pub use profiles::{CpuProfile, CpuProfileError, CpuProfiler, with_profiles};
pub use readiness::Readiness;
pub use request::Request;
pub use response::Response;
pub use routes::{agent_admin, agent_health, server_admin, server_health};
pub use serve::{Answer, HttpLimits, Routes, serve_http};
