//! The server's machines: the router of dials, links to agents, Proxy streams of gRPC frontends.

mod dial;
pub mod link;
mod proxy_stream;
mod router;
mod sessions;
mod strategy;

pub(crate) use dial::retry_after_seconds;
pub use dial::{DialError, DialFailure, StreamOutput};
pub use link::{Link, LinkConfig, LinkEvent};
pub use proxy_stream::{ProxyAction, ProxyStream, ProxyStreamConfig, StreamRef};
pub use router::Router;
pub use sessions::{ResumeRefused, Sessions};
pub use strategy::{LinkState, Strategies, StrategiesError, Strategy};
