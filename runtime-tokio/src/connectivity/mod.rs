//! The Connectivity API on tokio: [`dialback_runtime::connectivity`] without its type parameter.
//!
//! ```
//! # use dialback_tokio::connectivity::{Connectivity, ConnectivityConfig, NetworkContext};
//! # use dialback_tokio::TokioRuntime;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ConnectivityConfig::parse(
//!     "
//! apiVersion: apiserver.k8s.io/v1beta1
//! kind: EgressSelectorConfiguration
//! egressSelections:
//! - name: cluster
//!   connection: {proxyProtocol: Direct}
//! ",
//!     |_file| false,
//! )?;
//! let connectivity = Connectivity::new(TokioRuntime::current()?, config)?;
//! let dialer = connectivity.lookup(&NetworkContext::new("cluster"))?;
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?.to_string();
//! let stream = dialer.dial(&address).await?;
//! assert_eq!(stream.remote_name(), address);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "hyper")]
mod connector;

#[cfg(feature = "hyper")]
pub use connector::{Connector, ConnectorError, ConnectorStream};

pub use dialback_runtime::connectivity::{
    Closed, Closing, ConnectivityConfig, ConnectivityError, DialError, DialerOptions, Initiator,
    NetworkContext, ProxyAddress, ProxyError, Route, TcpProxy, TlsFiles,
};

use crate::runtime::TokioRuntime;

/// The connectivity services of a configuration, each with its dialer.
pub type Connectivity = dialback_runtime::connectivity::Connectivity<TokioRuntime>;

/// Opens connections of one connectivity service.
pub type Dialer = dialback_runtime::connectivity::Dialer<TokioRuntime>;

/// A connection to an endpoint.
pub type DialbackStream = dialback_runtime::connectivity::DialbackStream<TokioRuntime>;
