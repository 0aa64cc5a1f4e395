//! The server's end of a connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use dialback_core::wire::Frame;
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::Activity;
use super::call::Call;
use super::config::{MAX_WINDOW, RESET_MEMORY, ServerConfig};
use super::error::ConnectionError;
use super::keepalive::Keepalive;
use super::transport::Guarded;
use crate::runtime::Runtime;
use crate::timer::{Timer, timeout_at};

/// How long a closing connection may take to write its last words before it is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client's connection, seen from the server.
///
/// [`poll_accept`](Self::poll_accept) does all the work: it reads and writes, answers PINGs, counts them against
/// [`ServerConfig::pings`], sends keep-alive PINGs, and yields calls. Poll it until it returns `None`,
/// also while no further calls are expected: the streams of earlier calls move only by it.
///
/// Dropping it closes the transport at once; streams that are still open end with `Unavailable`.
///
/// ```no_run
/// # use dialback_runtime::Runtime;
/// # use dialback_runtime::grpc::{ACCEPT_TIMEOUT, ConnectionError, MethodName, ServerConfig, ServerConnection, Status};
/// # async fn serve<R: Runtime>(runtime: R, socket: R::TcpStream) -> Result<(), ConnectionError> {
/// let config = ServerConfig::frontends(std::time::Duration::from_secs(3600));
/// let deadline = runtime.now() + ACCEPT_TIMEOUT;
/// let mut connection = ServerConnection::handshake(&runtime, socket, &config, deadline).await?;
/// while let Some(call) = connection.accept().await {
///     let Ok(call) = call?.route(&MethodName::PROXY) else {
///         continue;
///     };
///     runtime.spawn(async move {
///         let mut stream = call.accept_lazily(http::HeaderMap::new());
///         while let Some(Ok(message)) = stream.recv().await { /* … */ }
///         stream.finish(&Status::ok());
///     });
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServerConnection<R: Runtime, T> {
    /// `None` once the connection has ended.
    h2: Option<h2::server::Connection<Guarded<R, T>, Frame>>,
    /// To be told to the peer.
    stream_window: Option<u32>,
    activity: Arc<Activity>,
    keepalive: Keepalive<R>,
    closing: Closing<R>,
    max_message: usize,
    runtime: R,
}

/// What is to happen once h2 has closed the connection for us.
#[derive(Debug)]
struct Closing<R: Runtime> {
    error: Option<ConnectionError>,
    timer: Timer<R>,
}

impl<R: Runtime, T: AsyncRead + AsyncWrite + Unpin> ServerConnection<R, T> {
    /// Waits for the client's preface, until `deadline`: the moment of accepting plus
    /// [`ACCEPT_TIMEOUT`](super::ACCEPT_TIMEOUT), so that TLS counts as well.
    ///
    /// # Errors
    /// The client was too slow, went away or speaks something else.
    pub async fn handshake(
        runtime: &R,
        io: T,
        config: &ServerConfig,
        deadline: Instant,
    ) -> Result<Self, ConnectionError> {
        let activity = Arc::new(Activity::default());
        let transport = Guarded::new(runtime.clone(), io, config, Arc::clone(&activity));
        let handshake = builder(config).handshake(transport);
        let mut h2 = timeout_at(runtime, deadline, handshake)
            .await
            .map_err(|_| ConnectionError::HandshakeTimeout)?
            .map_err(ConnectionError::from_h2)?;
        let pings = h2
            .ping_pong()
            .expect("a fresh connection's PINGs were not taken yet");
        Ok(Self {
            h2: Some(h2),
            stream_window: None,
            keepalive: Keepalive::new(
                runtime.clone(),
                config.keepalive,
                Arc::clone(&activity),
                pings,
            ),
            closing: Closing {
                error: None,
                timer: Timer::new(runtime.clone()),
            },
            activity,
            max_message: config.http2.max_message,
            runtime: runtime.clone(),
        })
    }

    /// Moves the connection on; ready with the next call, or with `None` when it has ended in an orderly way.
    ///
    /// # Errors
    /// Why the connection ended otherwise, once; `None` follows.
    pub fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Call, ConnectionError>>> {
        loop {
            let Some(h2) = &mut self.h2 else {
                return Poll::Ready(None);
            };
            // Refused while other settings wait for their acknowledgement, which brings the next turn.
            self.stream_window
                .take_if(|bytes| h2.set_initial_window_size(*bytes).is_ok());
            let idle = !h2.has_streams();
            self.activity.set_has_streams(!idle);
            self.activity.hold_writes(true);
            let mut accepted = h2.poll_accept(cx);
            self.activity.hold_writes(false);
            if self.activity.unflushed() {
                if accepted.is_pending() {
                    accepted = h2.poll_accept(cx);
                } else if matches!(accepted, Poll::Ready(Some(Ok(_)))) {
                    // The call may keep its taker busy before the next poll. Should the connection end here, that
                    // one will say so.
                    let _ = h2.poll_closed(cx);
                }
            }
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let call = Call::new(request, respond, self.max_message);
                    return Poll::Ready(Some(Ok(call)));
                }
                Poll::Ready(Some(Err(error))) => {
                    self.h2 = None;
                    let error = self
                        .closing
                        .error
                        .take()
                        .map_or_else(|| ConnectionError::at_end(error, idle), Some);
                    return Poll::Ready(error.map(Err));
                }
                Poll::Ready(None) => {
                    self.h2 = None;
                    return Poll::Ready(self.closing.error.take().map(Err));
                }
                Poll::Pending => {}
            }
            if self.closing.timer.poll(cx).is_ready() {
                self.h2 = None;
                return Poll::Ready(self.closing.error.take().map(Err));
            }
            if self.closing.timer.deadline().is_none() && self.activity.too_many_pings() {
                self.close(
                    Reason::ENHANCE_YOUR_CALM,
                    Some(ConnectionError::TooManyPings),
                );
                continue;
            }
            if self.keepalive.poll_dead(cx).is_ready() {
                self.h2 = None;
                return Poll::Ready(Some(Err(ConnectionError::KeepaliveTimeout)));
            }
            return Poll::Pending;
        }
    }

    /// [`poll_accept`](Self::poll_accept) as a future. Dropping it loses no call, but between calls of it the
    /// connection stands still.
    pub async fn accept(&mut self) -> Option<Result<Call, ConnectionError>> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Changes what the client may send on each stream before the reader has taken any, in bytes; at most 2^31 - 1
    /// counts. It is told with the next settings, once it has acknowledged the first.
    pub fn set_stream_window(&mut self, bytes: u32) {
        self.stream_window = Some(bytes.min(MAX_WINDOW));
    }

    /// Whether any call is under way.
    #[must_use]
    pub fn has_streams(&self) -> bool {
        self.h2.as_ref().is_some_and(|h2| h2.has_streams())
    }

    /// Tells the client that no new calls are taken (GOAWAY), and closes the connection once the last one has
    /// ended. Goes on in [`poll_accept`](Self::poll_accept), which may still yield calls that were under way.
    ///
    /// A Go agent drops the connection within a second of it, with all that it carries; so not for agents before
    /// the end.
    pub fn graceful_shutdown(&mut self) {
        if let Some(h2) = &mut self.h2 {
            h2.graceful_shutdown();
        }
    }

    /// Closes the connection with all its streams as soon as [`poll_accept`](Self::poll_accept) has written the
    /// GOAWAY that says so.
    pub fn shutdown_now(&mut self) {
        self.close(Reason::NO_ERROR, None);
    }

    fn close(&mut self, reason: Reason, error: Option<ConnectionError>) {
        if let Some(h2) = &mut self.h2
            && self.closing.timer.deadline().is_none()
        {
            h2.abrupt_shutdown(reason);
            self.closing.error = error;
            let now = self.runtime.now();
            self.closing.timer.set(Some(now + CLOSE_TIMEOUT));
        }
    }
}

fn builder(config: &ServerConfig) -> h2::server::Builder {
    let http2 = &config.http2;
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(http2.legal_stream_window())
        .initial_connection_window_size(http2.legal_connection_window())
        .max_frame_size(http2.legal_max_frame_size())
        .max_send_buffer_size(http2.max_send_buffer)
        .max_header_list_size(http2.max_header_list)
        .max_concurrent_streams(config.max_streams)
        .max_concurrent_reset_streams(http2.max_reset_streams)
        .reset_stream_duration(RESET_MEMORY)
        .max_pending_accept_reset_streams(http2.max_pending_reset_streams)
        .max_local_error_reset_streams(Some(http2.max_error_reset_streams))
        .data_frame_budget(http2.data_frame_budget());
    builder
}
