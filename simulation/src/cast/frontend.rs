//! Frontends: who dials through a server.

use std::net::SocketAddr;
use std::sync::Arc;

use dialback_core::connectivity::{ProxyAddress, Route, TcpProxy, TlsFiles};
use dialback_runtime::connectivity::Dialer;
use dialback_runtime::metrics::ClientMetrics;

use super::pki::{FrontendFiles, Names};
use super::server::{CERTIFIED_CONNECT_PORT, CERTIFIED_GRPC_PORT, CONNECT_PORT, GRPC_PORT};
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

/// The client of a frontend on `host` that dials through the server on `server`, and proves nothing of itself.
///
/// # Panics
/// Never: without TLS there is nothing to be read.
#[must_use]
pub fn dialer(host: &Host, server: &Host, way: Way) -> Dialer<Host> {
    let port = match way {
        Way::Grpc => GRPC_PORT,
        Way::Connect => CONNECT_PORT,
    };
    dialer_of(host, server.address(port), way, None)
}

/// The same for a frontend whose certificate has these names; the server has to have
/// [`certified_frontends`](super::ServerOptions::certified_frontends).
///
/// # Panics
/// When the system has no room for files of three certificates, for as long as they are read.
#[must_use]
pub fn certified_dialer(host: &Host, server: &Host, way: Way, names: Names) -> Dialer<Host> {
    let port = match way {
        Way::Grpc => CERTIFIED_GRPC_PORT,
        Way::Connect => CERTIFIED_CONNECT_PORT,
    };
    let files = FrontendFiles::write(names);
    dialer_of(host, server.address(port), way, Some(files.tls()))
}

fn dialer_of(host: &Host, server: SocketAddr, way: Way, tls: Option<TlsFiles>) -> Dialer<Host> {
    let proxy = ProxyAddress::Tcp(TcpProxy {
        host: server.ip().to_string(),
        port: server.port(),
        tls,
    });
    let route = match way {
        Way::Grpc => Route::Grpc(proxy),
        Way::Connect => Route::HttpConnect(proxy),
    };
    let metrics = Arc::new(ClientMetrics::default());
    Dialer::new(host.clone(), &route, metrics).expect("certificates of our own making")
}
