//! The client's end of a connection.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use dialback_core::wire::{Code, Frame, Status};
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use http::uri::{Authority, Scheme, Uri};
use http::{Method, Request, Version};
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::Activity;
use super::call::MethodName;
use super::config::{ClientConfig, MAX_WINDOW, RESET_MEMORY};
use super::error::{ConnectionError, NoAnswer};
use super::headers::{self, CONTENT_TYPE_GRPC, GRPC_TIMEOUT};
use super::keepalive::Keepalive;
use super::status::from_h2;
use super::stream::MessageStream;
use super::transport::Watched;
use crate::runtime::Runtime;
use crate::timer::timeout_at;

/// The driver of a connection to a server.
///
/// [`poll_closed`](Self::poll_closed) does all the work: it reads and writes and sends keep-alive PINGs. Poll it
/// until it is ready; the streams of all calls move only by it. Calls are made through a [`Caller`], here or in
/// other tasks. Once every caller and every stream is dropped it says goodbye (GOAWAY) and ends.
///
/// Dropping it closes the transport at once; streams that are still open end with `Unavailable`.
///
/// ```no_run
/// # use std::future::poll_fn;
/// # use std::task::Poll;
/// # use dialback_runtime::{Runtime, grpc::{ClientConfig, ClientConnection, MethodName, Target}};
/// # async fn connect<R: Runtime>(runtime: R, socket: R::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let config = ClientConfig::agent(std::time::Duration::from_secs(3600));
/// let target = Target::new(true, "proxy.example:8091")?;
/// let deadline = runtime.now() + std::time::Duration::from_secs(20);
/// let (mut caller, mut connection) =
///     ClientConnection::handshake(&runtime, socket, target, &config, deadline).await?;
/// let mut metadata = http::HeaderMap::new();
/// metadata.insert("agentid", "node-1".parse()?);
/// let mut stream = caller.call(&MethodName::CONNECT, metadata, None)?;
/// poll_fn(|cx| {
///     // The stream first, then the connection, so that what was sent leaves in this turn.
///     while let Poll::Ready(Some(Ok(message))) = stream.poll_recv(cx) { /* … */ }
///     connection.poll_closed(cx)
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ClientConnection<R: Runtime, T: AsyncRead + AsyncWrite + Unpin> {
    /// `None` once the connection has ended.
    h2: Option<h2::client::Connection<Watched<T>, Frame>>,
    /// To be told to the peer.
    stream_window: Option<u32>,
    activity: Arc<Activity>,
    keepalive: Option<Keepalive<R>>,
}

impl<R: Runtime, T: AsyncRead + AsyncWrite + Unpin> ClientConnection<R, T> {
    /// Sends the preface, until `deadline`. The server's part of the handshake is not waited for, so the first
    /// call can leave at once.
    ///
    /// # Errors
    /// The transport failed or took too long.
    pub async fn handshake(
        runtime: &R,
        io: T,
        target: Target,
        config: &ClientConfig,
        deadline: Instant,
    ) -> Result<(Caller, Self), ConnectionError> {
        let activity = Arc::new(Activity::default());
        let transport = Watched::new(io, Arc::clone(&activity));
        let builder = builder(config);
        let handshake = builder.handshake(transport);
        let (h2, mut connection) = timeout_at(runtime, deadline, handshake)
            .await
            .map_err(|_| ConnectionError::HandshakeTimeout)?
            .map_err(ConnectionError::from_h2)?;
        let caller = Caller {
            h2,
            target,
            user_agent: config.user_agent.clone(),
            max_message: config.http2.max_message,
        };
        let keepalive = match (config.keepalive, connection.ping_pong()) {
            (Some(config), Some(pings)) => Some(Keepalive::new(
                runtime.clone(),
                config,
                Arc::clone(&activity),
                pings,
            )),
            _ => None,
        };
        let connection = Self {
            h2: Some(connection),
            stream_window: None,
            activity,
            keepalive,
        };
        Ok((caller, connection))
    }

    /// Moves the connection on; ready when it has ended.
    ///
    /// # Errors
    /// Why it ended, if not because the server, or all users of it here, were done with it. Only the first time.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        let Some(h2) = &mut self.h2 else {
            return Poll::Ready(Ok(()));
        };
        // Refused while other settings wait for their acknowledgement, which brings the next turn.
        self.stream_window
            .take_if(|bytes| h2.set_initial_window_size(*bytes).is_ok());
        self.activity.hold_writes(true);
        let mut end = Pin::new(&mut *h2).poll(cx);
        self.activity.hold_writes(false);
        if end.is_pending() && self.activity.unflushed() {
            end = Pin::new(h2).poll(cx);
        }
        if let Poll::Ready(end) = end {
            self.h2 = None;
            return Poll::Ready(match end {
                Ok(()) => Ok(()),
                Err(error) => ConnectionError::at_end(error, false).map_or(Ok(()), Err),
            });
        }
        if let Some(keepalive) = &mut self.keepalive
            && keepalive.poll_dead(cx).is_ready()
        {
            self.h2 = None;
            return Poll::Ready(Err(ConnectionError::KeepaliveTimeout));
        }
        Poll::Pending
    }

    /// Changes what the server may send on each stream before the reader has taken any, in bytes; at most 2^31 - 1
    /// counts. It is told with the next settings, once it has acknowledged the first.
    pub fn set_stream_window(&mut self, bytes: u32) {
        self.stream_window = Some(bytes.min(MAX_WINDOW));
    }

    /// Waits for the response headers of a call on this connection, which is moved on meanwhile.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn response_headers(
        &mut self,
        stream: &mut MessageStream,
    ) -> Result<HeaderMap, NoAnswer> {
        poll_fn(|cx| {
            // The headers first: a server that refuses may close the connection right behind its status.
            if let Poll::Ready(headers) = stream.poll_response_headers(cx) {
                return Poll::Ready(headers.map_err(NoAnswer::from));
            }
            let closed = self.poll_closed(cx);
            match (stream.poll_response_headers(cx), closed) {
                (Poll::Ready(Err(_)) | Poll::Pending, Poll::Ready(Err(error)))
                    if matches!(error, ConnectionError::Io(_)) =>
                {
                    Poll::Ready(Err(error.into()))
                }
                (Poll::Ready(headers), _) => Poll::Ready(headers.map_err(NoAnswer::from)),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error.into())),
                (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Ready(Err(NoAnswer::Closed)),
                (Poll::Pending, Poll::Pending) => Poll::Pending,
            }
        })
        .await
    }

    /// [`poll_closed`](Self::poll_closed) as a future, for a connection with a task of its own.
    ///
    /// # Errors
    /// As there.
    pub async fn closed(&mut self) -> Result<(), ConnectionError> {
        poll_fn(|cx| self.poll_closed(cx)).await
    }
}

/// Makes calls on a connection. Clones share it and may live in other tasks.
#[derive(Clone, Debug)]
pub struct Caller {
    h2: SendRequest<Frame>,
    target: Target,
    user_agent: HeaderValue,
    max_message: usize,
}

impl Caller {
    /// Ready when a call can be made: the server has room for another stream.
    ///
    /// # Errors
    /// The connection takes no more calls.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.h2.poll_ready(cx).map_err(|error| from_h2(&error))
    }

    /// [`poll_ready`](Self::poll_ready) as a future.
    ///
    /// # Errors
    /// As there.
    pub async fn ready(&mut self) -> Result<(), Status> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Starts a call. Its headers go out when the connection is polled; messages may follow without waiting for
    /// the server's.
    ///
    /// `timeout` is what the server is told about how long the call may last. To keep to it here as well is the
    /// caller's business.
    ///
    /// # Errors
    /// The connection takes no more calls, or, without [`poll_ready`](Self::poll_ready) before, not yet.
    pub fn call(
        &mut self,
        method: &MethodName,
        metadata: HeaderMap,
        timeout: Option<Duration>,
    ) -> Result<MessageStream, Status> {
        let uri = Uri::builder()
            .scheme(self.target.scheme.clone())
            .authority(self.target.authority.clone())
            .path_and_query(method.path())
            .build()
            .map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        *headers = metadata;
        headers.insert(CONTENT_TYPE, CONTENT_TYPE_GRPC);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(USER_AGENT, self.user_agent.clone());
        if let Some(timeout) = timeout {
            headers.insert(GRPC_TIMEOUT, headers::format_timeout(timeout));
        }
        let (response, send) = self
            .h2
            .send_request(request, false)
            .map_err(|error| from_h2(&error))?;
        Ok(MessageStream::called(send, response, self.max_message))
    }

    /// How many calls the server takes at once on this connection; all of them, before its SETTINGS have come.
    #[must_use]
    pub fn max_streams(&self) -> usize {
        self.h2.current_max_send_streams()
    }

    /// Why no further call can be made: the server is going away (GOAWAY), or the connection is lost. `None`
    /// while all is well.
    ///
    /// After a GOAWAY, calls made before go on. Ask after every poll of the connection to learn of it in time to
    /// connect anew: a task that polls the connection is woken by what arrives.
    #[must_use]
    pub fn going_away(&self) -> Option<ConnectionError> {
        // A clone, since asking on behalf of the caller itself would replace the waker of its `poll_ready`.
        match self
            .h2
            .clone()
            .poll_ready(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(Err(error)) => Some(ConnectionError::from_h2(error)),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }
}

/// What a connection leads to, as the calls on it name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    scheme: Scheme,
    authority: Authority,
}

impl Target {
    /// The server at `authority`, `host:port`, or whatever name suits where there is no such thing
    /// (`localhost` for a Unix socket).
    ///
    /// # Errors
    /// This is not the authority part of a URI.
    pub fn new(tls: bool, authority: &str) -> Result<Self, InvalidAuthority> {
        Ok(Self {
            scheme: if tls { Scheme::HTTPS } else { Scheme::HTTP },
            authority: authority
                .parse()
                .map_err(|_| InvalidAuthority(authority.to_owned()))?,
        })
    }
}

/// A text that can't be the `:authority` of a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host and port")]
pub struct InvalidAuthority(String);

fn builder(config: &ClientConfig) -> h2::client::Builder {
    let http2 = &config.http2;
    let mut builder = h2::client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(http2.legal_stream_window())
        .initial_connection_window_size(http2.legal_connection_window())
        .max_frame_size(http2.legal_max_frame_size())
        .max_send_buffer_size(http2.max_send_buffer)
        .max_header_list_size(http2.max_header_list)
        .max_concurrent_reset_streams(http2.max_reset_streams)
        .reset_stream_duration(RESET_MEMORY)
        .max_pending_accept_reset_streams(http2.max_pending_reset_streams)
        .max_local_error_reset_streams(Some(http2.max_error_reset_streams))
        .data_frame_budget(http2.data_frame_budget());
    builder
}
