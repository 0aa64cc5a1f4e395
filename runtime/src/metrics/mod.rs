//! Metrics under Konnectivity's names, so that dashboards and alerts go on working, and a few of our own
//! (`dialback_*`).
//!
//! Series that the reference shows from the start are there from the start; the others appear when they are
//! first touched, for its tests compare whole families. Handles are resolved once: counting a packet is one
//! atomic addition.

mod agent;
mod attempts;
mod audit;
mod certificates;
mod client;
#[cfg(test)]
mod documented;
mod family;
mod hedges;
#[cfg(test)]
mod konnectivity;
mod kubernetes;
mod limits;
mod live_tunnels;
mod packets;
mod policy;
mod process;
mod server;
mod tenants;
mod text;
mod throttling;
mod tunnels;

pub use agent::AgentMetrics;
pub use attempts::AttemptResult;
pub use audit::AuditMetrics;
pub use certificates::CertificateMetrics;
pub(crate) use client::ClientConnectionGauge;
pub use client::ClientMetrics;
pub use family::Counted;
pub use hedges::HedgeEnd;
pub use limits::Limit;
pub(crate) use live_tunnels::{Measured, Measurement};
pub use packets::Segment;
pub use policy::PolicyDecision;
pub use server::{AgentProof, ServerMetrics, TlsListener};
pub use tenants::{TenantDial, TenantMetrics};
pub use text::{CONTENT_TYPE, render};
pub use throttling::ThrottleResult;
