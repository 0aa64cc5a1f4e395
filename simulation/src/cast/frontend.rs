//! Frontends: who dials through a server.

use std::sync::Arc;

use dialback_core::connectivity::{ProxyAddress, Route, TcpProxy};
use dialback_runtime::connectivity::Dialer;
use dialback_runtime::metrics::ClientMetrics;

use super::server::{CONNECT_PORT, GRPC_PORT};
use crate::host::Host;

/// What a frontend speaks with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A Proxy call of gRPC for each stream.
    Grpc,
    /// HTTP-CONNECT, one connection for each stream.
    Connect,
}

impl Way {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Connect];
}

/// The client of a frontend on `host` that dials through the server on `server`.
///
/// # Panics
/// Never: without TLS there is nothing to be read.
#[must_use]
pub fn dialer(host: &Host, server: &Host, way: Way) -> Dialer<Host> {
    let proxy = |port| {
        ProxyAddress::Tcp(TcpProxy {
            host: server.address(port).ip().to_string(),
            port,
            tls: None,
        })
    };
    let route = match way {
        Way::Grpc => Route::Grpc(proxy(GRPC_PORT)),
        Way::Connect => Route::HttpConnect(proxy(CONNECT_PORT)),
    };
    let metrics = Arc::new(ClientMetrics::default());
    Dialer::new(host.clone(), &route, metrics).expect("no certificates are read")
}
