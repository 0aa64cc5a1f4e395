//! Dialling the proxy server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::address::join_host_port;
use super::connect::connect;
use super::endpoint::dial;
use super::failure::DialFailure;
use super::proxy::ProxyEnvironment;
use crate::runtime::Runtime;
use crate::timer::timeout_at;

/// How long it may take to have a connection: grpc-go's bound for an attempt.
const LIMIT: Duration = Duration::from_secs(20);

/// The proxy server was not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyDialError {
    /// Without an HTTP proxy.
    #[error(transparent)]
    Direct(#[from] DialFailure),
    /// The HTTP proxy of the environment was not reached.
    #[error("HTTP proxy {proxy}: {failure}")]
    Proxy {
        /// Its address.
        proxy: String,
        /// What went wrong.
        failure: DialFailure,
    },
    /// The connection to the HTTP proxy broke.
    #[error("HTTP proxy {proxy}: connection broke before it answered: {error}")]
    Connection {
        /// Its address.
        proxy: String,
        /// The system's reason.
        error: io::Error,
    },
    /// The HTTP proxy refused.
    #[error("HTTP proxy {proxy} refused a tunnel to {target}: {code} {reason}")]
    Refused {
        /// Its address.
        proxy: String,
        /// What was asked for.
        target: String,
        /// The HTTP status.
        code: u16,
        /// The words behind it.
        reason: String,
    },
    /// The HTTP proxy does not speak HTTP as it should.
    #[error("HTTP proxy {proxy} sent a response that makes no sense")]
    Malformed {
        /// Its address.
        proxy: String,
    },
    /// The HTTP proxy did not answer.
    #[error("HTTP proxy {proxy}: i/o timeout")]
    TimedOut {
        /// Its address.
        proxy: String,
    },
}

/// Connects to `host` and `port`, through an HTTP proxy if `environment` names one for it; 20 s at the
/// longest. Dropping the future gives up. The socket has the system's options, and comes with the address that it leads
/// to, if no proxy is between.
///
/// `order` may put the addresses of the host in another order before they are tried.
///
/// # Errors
/// [`ProxyDialError`]; without an HTTP proxy in Go's words.
pub async fn dial_server<R: Runtime>(
    runtime: &R,
    environment: &ProxyEnvironment,
    host: &str,
    port: u16,
    order: impl FnOnce(&mut [SocketAddr]),
) -> Result<(Option<SocketAddr>, R::TcpStream), ProxyDialError> {
    let deadline = runtime.now() + LIMIT;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let target = join_host_port(host, port);
    let Some(proxy) = environment.proxy_for(host, port) else {
        let (address, socket) = dial(runtime, "tcp", &target, deadline, |addresses| {
            order(addresses);
            Ok(())
        })
        .await?;
        return Ok((Some(address), socket));
    };
    let (_, mut socket) = dial(runtime, "tcp", &proxy.address(), deadline, |_| Ok(()))
        .await
        .map_err(|failure| ProxyDialError::Proxy {
            proxy: proxy.address(),
            failure,
        })?;
    match timeout_at(runtime, deadline, connect(&mut socket, proxy, &target)).await {
        Ok(connected) => connected.map(|()| (None, socket)),
        Err(_) => Err(ProxyDialError::TimedOut {
            proxy: proxy.address(),
        }),
    }
}
