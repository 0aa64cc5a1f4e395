//! Serving a listener.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::request::Request;
use super::response::Response;
use crate::listen::accept_loop;
use crate::net::Listener;
use crate::runtime::Runtime;

/// What a listener answers. Closures are one.
pub trait Routes: Send + Sync + 'static {
    /// The answer to a request; the call itself must not wait, for it holds up its thread.
    fn answer(&self, request: &Request<'_>) -> Answer;
}

impl<F, A> Routes for F
where
    F: Fn(&Request<'_>) -> A + Send + Sync + 'static,
    A: Into<Answer>,
{
    fn answer(&self, request: &Request<'_>) -> Answer {
        self(request).into()
    }
}

/// A response, or the making of one.
pub enum Answer {
    /// It is there.
    Now(Response),
    /// It takes time; dropped when the client goes away or the listener ends.
    Later(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl Answer {
    /// An answer that takes time.
    pub fn later(response: impl Future<Output = Response> + Send + 'static) -> Self {
        Self::Later(Box::pin(response))
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(response) => f.debug_tuple("Now").field(response).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// What clients of a listener may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of a request's header. Default 64 KiB; the reference allows 1 MiB, which at its pods' 30 MiB a
    /// few clients could end it with.
    pub max_header_bytes: usize,
    /// How long a connection may be idle, a header may take to arrive, and an answer to be taken.
    /// Default 60 s.
    pub timeout: Duration,
    /// Connections at a time; further ones wait in the backlog. Default 128.
    pub max_connections: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            timeout: Duration::from_secs(60),
            max_connections: 128,
        }
    }
}

/// Serves a listener until the future is dropped: then its connections end, each after the answer it is at.
pub async fn serve_http<R, L, T>(runtime: &R, listener: &L, limits: &HttpLimits, routes: T)
where
    R: Runtime,
    L: Listener,
    T: Routes,
{
    let routes = Arc::new(routes);
    let stopping = CancellationToken::new();
    let _stop_on_drop = stopping.clone().drop_guard();
    accept_loop(
        runtime,
        listener,
        limits.max_connections,
        || (),
        |socket, peer| {
            let connection = Connection {
                runtime: runtime.clone(),
                limits: limits.clone(),
                stopping: stopping.clone(),
                socket,
                received: Vec::new(),
            };
            let routes = Arc::clone(&routes);
            async move {
                if let Err(error) = connection.serve(&*routes).await {
                    tracing::debug!(%peer, %error, "HTTP connection ended");
                }
            }
        },
    )
    .await;
}
