//! Dials for one connectivity service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dialback_core::client::DialFailure;
use dialback_core::connectivity::Route;

use super::error::{DialError, FailedDial, ProxyError};
use super::grpc_stream::GrpcStream;
use super::http_connect;
use super::links::Links;
use super::stream::{DialbackStream, Way};
use super::transport::{Protocol, ProxyServer, Transport};
use crate::dial::dial_endpoint;
use crate::metrics::ClientMetrics;
use crate::runtime::Runtime;
use crate::timer::timeout_at;
use crate::tls::TlsError;

/// The longest address taken, in bytes: a name of DNS and a port fit many times.
const MAX_ADDRESS: usize = 1024;

/// Opens connections of one connectivity service. Clones share its connections to the proxy server.
///
/// Once the last clone and the last stream are dropped, the connections are closed.
#[derive(Clone, Debug)]
pub struct Dialer<R: Runtime> {
    runtime: R,
    way: Arc<Towards<R>>,
    options: DialerOptions,
    metrics: Arc<ClientMetrics>,
}

/// What a dialer may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialerOptions {
    /// How long a dial may take, the connection to the proxy server included. Default 30 s, as in
    /// Konnectivity's client.
    pub dial_timeout: Duration,
    /// Asks the proxy server which agent serves each connection, see [`DialbackStream::agent_id`]. Default no.
    pub name_agent: bool,
}

impl Default for DialerOptions {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(30),
            name_agent: false,
        }
    }
}

#[derive(Debug)]
enum Towards<R: Runtime> {
    Direct,
    HttpConnect(ProxyServer),
    Grpc(Links<R>),
}

impl<R: Runtime> Dialer<R> {
    /// A dialer along `route`. The certificates are read now; nothing is connected before the first dial.
    ///
    /// # Errors
    /// [`TlsError`]: the certificates can't be used.
    pub fn new(runtime: R, route: &Route, metrics: Arc<ClientMetrics>) -> Result<Self, TlsError> {
        let way = match route {
            Route::Direct => Towards::Direct,
            Route::HttpConnect(address) => {
                Towards::HttpConnect(ProxyServer::load(address, Protocol::HttpConnect)?)
            }
            Route::Grpc(address) => {
                let server = ProxyServer::load(address, Protocol::Grpc)?;
                Towards::Grpc(Links::new(runtime.clone(), server))
            }
        };
        Ok(Self {
            runtime,
            way: Arc::new(way),
            options: DialerOptions::default(),
            metrics,
        })
    }

    /// The same with other options; connections are still shared.
    #[must_use]
    pub fn with_options(mut self, options: DialerOptions) -> Self {
        self.options = options;
        self
    }

    /// Opens a connection to `address`, a `host:port` whose name is resolved where the agent is.
    ///
    /// Dropping the future gives the dial up, and the agent stops its attempt.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self, address: &str) -> Result<DialbackStream<R>, DialError> {
        if !is_address(address) {
            return Err(DialError::InvalidAddress(address.to_owned()));
        }
        let mut counted = Counted {
            metrics: &self.metrics,
            failure: Some(DialFailure::Context),
        };
        match self.attempt(address).await {
            Ok(stream) => {
                counted.failure = None;
                Ok(stream)
            }
            Err(FailedDial { error, reason }) => {
                counted.failure = Some(reason);
                Err(error)
            }
        }
    }

    async fn attempt(&self, address: &str) -> Result<DialbackStream<R>, FailedDial> {
        let limit = self.options.dial_timeout;
        let deadline = self.runtime.now() + limit;
        let late = || DialError::TimedOut {
            address: address.to_owned(),
            text: format!("no answer within {limit:?}"),
        };
        let (way, name, agent_id) = match &*self.way {
            Towards::Direct => {
                let socket = dial_endpoint(&self.runtime, "tcp", address, limit).await;
                let socket = socket.map_err(|failure| DialError::direct(address, &failure))?;
                let transport = Transport::Tcp(socket);
                let early = Bytes::new();
                (Way::Transport { transport, early }, "direct", None)
            }
            Towards::HttpConnect(server) => {
                let dial = http_connect::dial(&self.runtime, server, address, &self.options);
                let dialled = timeout_at(&self.runtime, deadline, dial).await;
                let http_connect::Dialled {
                    transport,
                    early,
                    agent_id,
                } = dialled.unwrap_or_else(|_| Err(late()))?;
                let way = Way::Transport { transport, early };
                (way, server.name.as_str(), agent_id)
            }
            Towards::Grpc(links) => {
                let stream = self.through(links, address, deadline).await?;
                let agent_id = stream.agent_id();
                (Way::Grpc(stream), links.server().name.as_str(), agent_id)
            }
        };
        Ok(DialbackStream::new(way, name.to_owned(), address, agent_id))
    }

    async fn through(
        &self,
        links: &Links<R>,
        address: &str,
        deadline: Instant,
    ) -> Result<GrpcStream<R>, FailedDial> {
        // The tunnel keeps the deadline while the server is silent, this one while it takes no streams.
        let limit = deadline + GRACE;
        let dial = self.through_some(links, address, deadline);
        timeout_at(&self.runtime, limit, dial)
            .await
            .unwrap_or_else(|_| {
                let error = DialError::TimedOut {
                    address: address.to_owned(),
                    text: "the proxy server takes no streams".to_owned(),
                };
                Err(error.into())
            })
    }

    async fn through_some(
        &self,
        links: &Links<R>,
        address: &str,
        deadline: Instant,
    ) -> Result<GrpcStream<R>, FailedDial> {
        let proxy = &links.server().name;
        let mut tries = OPEN_TRIES;
        let mut stream = loop {
            tries -= 1;
            let slot = links.slot(self.options.dial_timeout);
            let slot = timeout_at(&self.runtime, deadline, slot).await;
            let slot = slot.unwrap_or(Err(ProxyError::TimedOut));
            let slot = slot.map_err(|error| DialError::proxy(proxy, error))?;
            let metrics = Arc::clone(&self.metrics);
            let open = GrpcStream::open(
                &self.runtime,
                slot,
                address,
                deadline,
                self.options.name_agent,
                metrics,
            );
            match open.await {
                Ok(stream) => break stream,
                // The connection has ended since it was chosen.
                Err(_) if tries > 0 => {}
                Err(status) => return Err(DialError::status(proxy, address, status).into()),
            }
        };
        stream.dial(proxy, address).await?;
        Ok(stream)
    }

    /// How many gRPC connections to the proxy server are up: one carries all streams, unless the server takes
    /// fewer on a connection. Zero for the other ways.
    pub async fn grpc_connections(&self) -> usize {
        match &*self.way {
            Towards::Grpc(links) => links.count().await,
            Towards::Direct | Towards::HttpConnect(_) => 0,
        }
    }
}

/// Counts how a dial failed; dropped before its end, as given up by the caller.
struct Counted<'a> {
    metrics: &'a ClientMetrics,
    failure: Option<DialFailure>,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if let Some(reason) = self.failure {
            self.metrics.dial_failed(reason);
        }
    }
}

/// How many connections are tried for a stream, if they end right after they were chosen.
const OPEN_TRIES: usize = 3;

/// How much later the outer deadline of a dial is than the tunnel's own, whose error tells more.
const GRACE: Duration = Duration::from_millis(100);

/// Whether this could be a `host:port`. What exactly is one is for the agent to say; here it only must not be
/// anything else of a request.
fn is_address(address: &str) -> bool {
    let fits = !address.is_empty() && address.len() <= MAX_ADDRESS;
    fits && address.contains(':')
        && !address.contains(|c: char| c.is_control() || c.is_whitespace() || "/@?#".contains(c))
}
