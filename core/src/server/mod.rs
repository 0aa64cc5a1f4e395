//! The server's machines: links to agents and Proxy streams of gRPC frontends.

mod dial;
pub mod link;
mod proxy_stream;

pub use dial::{DialError, DialFailure, StreamOutput};
pub use link::{Link, LinkConfig, LinkEvent};
pub use proxy_stream::{ProxyAction, ProxyStream, ProxyStreamConfig, StreamRef};
