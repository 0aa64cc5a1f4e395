//! kube's client, with connections that go through a proxy server.

use dialback_tokio::connectivity::{Connector, Dialer};
use http::Uri;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::Body;
use kube::client::middleware::BaseUriLayer;
use tower::Layer as _;

/// A client of the API server at `server`, which is in the network of the agents.
///
/// In the clear, to keep the example short: for an `https` URI wrap the connector in hyper-rustls's, as
/// `kube::client::ConfigExt` does with its own, and add its layer for credentials.
#[must_use]
pub fn client(dialer: Dialer, server: Uri) -> Client {
    let http: HttpClient<Connector, Body> =
        HttpClient::builder(TokioExecutor::new()).build(Connector::new(dialer));
    Client::new(BaseUriLayer::new(server).layer(http), "default")
}
