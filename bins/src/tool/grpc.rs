//! A frontend that speaks gRPC with a proxy server over its Unix socket, as kube-apiserver does.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dialback_runtime::connectivity::{DialbackStream, Dialer, ProxyAddress, Route};
use dialback_runtime::metrics::ClientMetrics;
use dialback_tokio::TokioRuntime;

/// A proxy server in grpc mode, through which any number of connections to endpoints are opened, over one to the
/// server as long as that takes so many.
///
/// It stays up as long as this or any of those is alive.
#[derive(Clone, Debug)]
pub(crate) struct GrpcFrontend {
    dialer: Dialer<TokioRuntime>,
}

impl GrpcFrontend {
    /// A frontend of the server at that Unix socket, which is connected to at the first dial.
    pub(crate) fn new(socket: &Path) -> io::Result<Self> {
        let runtime = TokioRuntime::current().map_err(io::Error::other)?;
        let route = Route::Grpc(ProxyAddress::Unix(socket.to_owned()));
        let metrics = Arc::new(ClientMetrics::new());
        let dialer = Dialer::new(runtime, &route, metrics).map_err(io::Error::other)?;
        Ok(Self { dialer })
    }

    /// Opens a connection to `address` (`host:port`) through the server.
    pub(crate) async fn dial(&self, address: &str) -> io::Result<DialbackStream<TokioRuntime>> {
        self.dialer.dial(address).await.map_err(io::Error::other)
    }
}
