//! The server's machines: the router of dials, links to agents, Proxy streams of gRPC frontends.

mod dial;
mod hedging;
pub mod link;
mod pressure;
mod proxy_stream;
mod router;
mod sessions;
mod strategy;

pub(crate) use dial::retry_after_seconds;
pub use dial::{DialError, DialFailure, StreamOutput};
pub use hedging::Hedging;
pub use link::{Link, LinkConfig, LinkEvent};
pub use pressure::Pressure;
pub use proxy_stream::{ProxyAction, ProxyStream, ProxyStreamConfig, StreamRef};
pub use router::{Candidates, Consideration, RouteRequest, Router};
pub use sessions::{ResumeRefused, Sessions};
pub(crate) use strategy::without_port;
pub use strategy::{LinkState, Selector, SelectorError, Strategies, StrategiesError, Strategy};
