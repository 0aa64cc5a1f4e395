//! Which way to go to reach what: the configuration of the connectivity services.
//!
//! Two formats are read. `EgressSelectorConfiguration` is kube-apiserver's
//! ([`EgressSelectorConfiguration`], decoded and validated as its own loader does), and
//! `ConnectivityServiceConfiguration` is that of the original design (KEP-1281), which can also say gRPC over
//! TCP and names of one's own. Both come to the same: a [`Route`] by name.
//!
//! ```
//! use dialback_core::connectivity::{ConnectivityConfig, ProxyAddress, Route};
//!
//! let text = "
//! apiVersion: apiserver.k8s.io/v1beta1
//! kind: EgressSelectorConfiguration
//! egressSelections:
//! - name: cluster
//!   connection:
//!     proxyProtocol: GRPC
//!     transport: {uds: {udsName: /run/konnectivity.sock}}
//! ";
//! let config = ConnectivityConfig::parse(text, |_file| true)?;
//! let Some(Route::Grpc(ProxyAddress::Unix(socket))) = config.route("cluster") else {
//!     unreachable!("that is what it says");
//! };
//! assert_eq!(socket.to_str(), Some("/run/konnectivity.sock"));
//! # Ok::<(), dialback_core::connectivity::ConfigError>(())
//! ```

mod config;
mod egress;
mod error;
mod route;
mod service;
#[cfg(test)]
mod tests;
mod validate;

pub use config::{ConnectivityConfig, Service};
pub use egress::{
    Connection, EgressSelection, EgressSelectorConfiguration, TcpTransport, TlsConfig, Transport,
    UdsTransport,
};
pub use error::{ConfigError, FieldError, FieldErrors, FieldProblem, RouteError};
pub use route::{ProxyAddress, Route, TcpProxy, TlsFiles};
