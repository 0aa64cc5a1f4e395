//! Each machine alone against a peer and a driver that do anything at any time.
//!
//! [`scenario`](crate::scenario) shows that honest peers are served; this shows that others do no harm: no
//! panic, no queue beyond its bound, every stream's outputs in their order, and nothing left in the end.

mod agent_link;
mod input;
mod proxy_stream;
mod server_link;

pub use agent_link::check_agent_link;
pub use proxy_stream::check_proxy_stream;
pub use server_link::check_server_link;
