//! Who takes part: servers, agents, frontends and endpoints, each on a host of its own.

mod agent;
mod endpoint;
mod frontend;
mod job;
#[expect(
    clippy::unwrap_used,
    reason = "certificates of our own making are fine"
)]
mod pki;
mod server;

pub use agent::{AgentOptions, SimulatedAgent};
pub use endpoint::serve;
pub use frontend::{Way, certified_dialer, dialer};
pub use job::{Job, start};
pub use pki::Names;
pub use server::{SERVER_NAME, ServerOptions, SimulatedServer};
