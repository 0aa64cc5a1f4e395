//! HTTP-CONNECT frontends.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use dialback_core::audit::TraceParent;
use dialback_core::connect::{ESTABLISHED, Parsed, RequestParser, dial_failure, established_by};
use dialback_core::server::{DialError, StreamOutput};
use tokio::io::AsyncWriteExt;

use super::Frontend;
use super::port::FrontendStream;
use super::socket::FrontendSocket;
use crate::metrics::Limit;
use crate::net::PeerAddr;
use crate::runtime::Runtime;
use crate::server::Server;
use crate::server::dialling::DialRequest;
use crate::server::stop::Stage;
use crate::server::throttling::{Admitted, Waiting};
use crate::timer::timeout_at;
use crate::tunnel::{Port, Pump, PumpEnd, poll_read};

/// What a client may send before the answer to its dial; its socket is not read beyond that.
const MAX_EARLY_BYTES: usize = 64 * 1024;

/// Serves one connection: a request, then a tunnel.
pub(super) async fn serve<R: Runtime, S: FrontendSocket>(
    server: &Arc<Server<R>>,
    mut socket: S,
    frontend: Arc<Frontend>,
) {
    let peer = frontend.peer;
    let Some(request) = request(server, &mut socket, peer).await else {
        return;
    };
    let Request {
        authority,
        early,
        asks_for_agent,
        selector,
        trace,
    } = request;
    let _counted = server.metrics.http_connection();
    let mut dial = DialRequest {
        frontend: Arc::clone(&frontend),
        protocol: "tcp".to_owned(),
        address: authority.clone(),
        selector,
        trail: None,
    };
    server.follow(&mut dial, None, trace);
    let mut early = Early {
        data: early,
        socket: &mut socket,
    };
    let admitted = match server.wait_for_turn(&dial) {
        Ok(None) => None,
        Err(error) => {
            server.dial_not_started(dial, &error);
            return answer(server, &mut socket, &error).await;
        }
        Ok(Some(mut waiting)) => match poll_fn(|cx| early.poll_turn(cx, &mut waiting)).await {
            Some(Ok(admitted)) => Some(admitted),
            Some(Err(error)) => {
                server.dial_not_started(dial, &error);
                return answer(server, &mut socket, &error).await;
            }
            None => {
                tracing::debug!(%peer, address = authority, "frontend went away while its dial waited for its turn");
                return;
            }
        },
    };
    let mut held = match server.dial(dial, admitted) {
        Ok(held) => held,
        Err(error) => return answer(server, &mut socket, &error).await,
    };
    held.allow_half_close();
    match poll_fn(|cx| early.poll_answer(cx, &mut held)).await {
        Answer::Dialled => {}
        Answer::Failed(error) => {
            tracing::info!(%peer, address = authority, %error, "dial failed");
            drop(held);
            return answer(server, &mut socket, &error).await;
        }
        Answer::FrontendGone => {
            tracing::debug!(%peer, address = authority, "frontend went away while its dial was pending");
            return;
        }
    }
    let early = early.data;
    // Alone and first: clients fail on bytes behind the header, and the endpoint may speak at once.
    let established = if asks_for_agent && !server.config.disable_extensions {
        established_by(held.agent_id())
    } else {
        Bytes::from_static(ESTABLISHED)
    };
    if write(server, &mut socket, &established).await.is_err() {
        return;
    }
    if !early.is_empty() {
        held.push(early);
    } else if S::MERGES_WRITES && !first_bytes(server, &mut socket, &mut held).await {
        return;
    }
    let mut pump = Pump::new();
    let mut stop = server.stop_signal();
    let end = tokio::select! {
        biased;
        end = poll_fn(|cx| pump.poll(cx, &mut socket, &mut held)) => end,
        // What the frontend has not taken by now is lost.
        () = stop.reached(Stage::Cut) => PumpEnd::Aborted,
    };
    if end == PumpEnd::Aborted {
        let _ = socket.reset_on_close();
    }
}

/// A request for a tunnel.
struct Request {
    authority: String,
    early: Bytes,
    asks_for_agent: bool,
    /// As the frontend wrote it.
    selector: Option<String>,
    trace: Option<TraceParent>,
}

/// Reads requests until one asks for a tunnel; others are answered here.
async fn request<R: Runtime, S: FrontendSocket>(
    server: &Arc<Server<R>>,
    socket: &mut S,
    peer: PeerAddr,
) -> Option<Request> {
    let mut parser = RequestParser::with_max_header_bytes(server.config.max_http_header_bytes);
    // Whether a request was begun on this connection: who just looks whether somebody listens is no news.
    let mut begun = false;
    loop {
        let deadline = server.runtime.now() + server.config.request_timeout;
        let parsed = loop {
            match parser.parse(&httpdate::fmt_http_date(SystemTime::now())) {
                Parsed::Incomplete => {}
                complete @ (Parsed::Connect { .. } | Parsed::Reject { .. }) => break complete,
            }
            match timeout_at(
                &server.runtime,
                deadline,
                poll_fn(|cx| poll_read(socket, cx)),
            )
            .await
            {
                Ok(Ok(data)) if !data.is_empty() => {
                    begun = true;
                    parser.push(&data);
                }
                Ok(end) => {
                    if begun {
                        let error = end.err().map(tracing::field::display);
                        tracing::info!(%peer, error, "frontend hung up in the middle of a request");
                    }
                    return None;
                }
                Err(_) => {
                    tracing::info!(%peer, "frontend sent no complete request in time");
                    return None;
                }
            }
        };
        match parsed {
            Parsed::Connect {
                authority,
                early,
                asks_for_agent,
                selector,
                trace,
            } => {
                return Some(Request {
                    authority,
                    early,
                    asks_for_agent,
                    selector,
                    trace,
                });
            }
            Parsed::Reject {
                response,
                keep_alive,
                too_large,
            } => {
                if too_large {
                    server.metrics.limit_reached(Limit::HttpHeaderBytes);
                }
                let _counted = server.metrics.http_connection();
                let answer = String::from_utf8_lossy(status_line(&response)).into_owned();
                tracing::info!(%peer, answer, "frontend sent a request that asks for no tunnel");
                begun = false;
                write(server, socket, &response).await.ok()?;
                if !keep_alive {
                    let _ = socket.shutdown().await;
                    return None;
                }
            }
            Parsed::Incomplete => {}
        }
    }
}

/// The first line of an HTTP response.
fn status_line(response: &[u8]) -> &[u8] {
    let end = response.iter().position(|byte| *byte == b'\r');
    &response[..end.unwrap_or(response.len())]
}

/// The socket while the dial is pending: read a little, so that a client that hangs up is noticed.
struct Early<'a, S> {
    data: Bytes,
    socket: &'a mut S,
}

enum Answer {
    Dialled,
    Failed(DialError),
    FrontendGone,
}

impl<S: FrontendSocket> Early<'_, S> {
    fn poll_answer<R: Runtime>(
        &mut self,
        cx: &mut Context<'_>,
        held: &mut FrontendStream<R>,
    ) -> Poll<Answer> {
        match held.poll_output(cx) {
            Some(StreamOutput::Dialled(_)) => return Poll::Ready(Answer::Dialled),
            Some(StreamOutput::DialFailed(error)) => return Poll::Ready(Answer::Failed(error)),
            // Nothing else can come before the answer; if it does, the stream is of no use.
            Some(StreamOutput::Data(_) | StreamOutput::EndOfData | StreamOutput::Closed(_)) => {
                return Poll::Ready(Answer::FrontendGone);
            }
            None => {}
        }
        self.poll_gone(cx).map(|()| Answer::FrontendGone)
    }

    /// Waits for the dial's turn; `None` when the frontend has gone.
    fn poll_turn<R: Runtime>(
        &mut self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting<R>,
    ) -> Poll<Option<Result<Admitted<R>, DialError>>> {
        if let Poll::Ready(leave) = waiting.poll(cx) {
            return Poll::Ready(Some(leave));
        }
        self.poll_gone(cx).map(|()| None)
    }

    /// Ready when the frontend has gone; what it sends is kept, within bounds.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.data.len() < MAX_EARLY_BYTES {
            match std::task::ready!(poll_read(self.socket, cx)) {
                Ok(more) if !more.is_empty() => self.append(more),
                Ok(_) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    fn append(&mut self, more: Bytes) {
        if self.data.is_empty() {
            self.data = more;
        } else {
            let mut joined = BytesMut::with_capacity(self.data.len() + more.len());
            joined.extend_from_slice(&self.data);
            joined.extend_from_slice(&more);
            self.data = joined.freeze();
        }
    }
}

/// Holds the endpoint's first bytes back until the client has had time to take the answer by itself, or speaks.
///
/// kube-apiserver fails when its read of the answer returns payload as well, which flushing alone cannot prevent
/// on a plain socket. `false` when the client has hung up.
async fn first_bytes<R: Runtime, S: FrontendSocket>(
    server: &Arc<Server<R>>,
    socket: &mut S,
    held: &mut FrontendStream<R>,
) -> bool {
    let until = server.runtime.now() + server.config.proxy_stream.first_data_hold;
    match timeout_at(&server.runtime, until, poll_fn(|cx| poll_read(socket, cx))).await {
        Ok(Ok(data)) if !data.is_empty() => {
            held.push(data);
            true
        }
        // Seen again by the pump, if it goes on.
        Ok(Ok(_)) => held.end_of_data(),
        Ok(Err(_)) => false,
        Err(_) => true,
    }
}

/// Tells of a failed dial and closes.
async fn answer<R: Runtime, S: FrontendSocket>(
    server: &Arc<Server<R>>,
    socket: &mut S,
    error: &DialError,
) {
    let response = dial_failure(error).unwrap_or_default();
    if write(server, socket, &response).await.is_ok() {
        let _ = socket.shutdown().await;
    }
}

/// Writes and flushes, in bounded time.
async fn write<R: Runtime, S: FrontendSocket>(
    server: &Arc<Server<R>>,
    socket: &mut S,
    bytes: &[u8],
) -> Result<(), ()> {
    let deadline = server.runtime.now() + server.config.request_timeout;
    let writing = async {
        socket.write_all(bytes).await?;
        socket.flush().await
    };
    match timeout_at(&server.runtime, deadline, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
