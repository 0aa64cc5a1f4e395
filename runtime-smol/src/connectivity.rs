//! The Connectivity API on smol: [`dialback_runtime::connectivity`] without its type parameter.
//!
//! Streams speak the traits of `tokio::io`, which need no runtime of tokio's.

pub use dialback_runtime::connectivity::{
    Closed, Closing, ConnectivityConfig, ConnectivityError, DialError, DialerOptions, Initiator,
    NetworkContext, ProxyAddress, ProxyError, Route, TcpProxy, TlsFiles,
};

use crate::executor::ExecutorHandle;
use crate::runtime::SmolRuntime;

/// The connectivity services of a configuration, each with its dialer.
pub type Connectivity<S = ExecutorHandle> =
    dialback_runtime::connectivity::Connectivity<SmolRuntime<S>>;

/// Opens connections of one connectivity service.
pub type Dialer<S = ExecutorHandle> = dialback_runtime::connectivity::Dialer<SmolRuntime<S>>;

/// A connection to an endpoint.
pub type DialbackStream<S = ExecutorHandle> =
    dialback_runtime::connectivity::DialbackStream<SmolRuntime<S>>;
