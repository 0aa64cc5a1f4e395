//! One RPC's stream of messages, both ways.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use dialback_core::wire::{Code, Frame, FrameDecoder, Packet, Status};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, StatusCode};

use super::headers;
use super::status::{from_h2, from_http, send_closed, without_trailers};

/// Window is given back in steps of at least this many bytes, or when there is nothing left to read.
const RELEASE_STEP: usize = 32 * 1024;

/// One RPC: messages in both directions, and how each direction ends.
///
/// Nothing here moves unless the connection is polled too
/// ([`ServerConnection::poll_accept`](super::ServerConnection::poll_accept),
/// [`ClientConnection::poll_closed`](super::ClientConnection::poll_closed)), by the same task or another one. A
/// task that drives both polls the stream first and the connection last, so that what it sent goes out in the
/// same turn. There are no channels or tasks inside. All methods of one stream are to be called by one task:
/// there is one waker for receiving and one for sending.
///
/// **Receiving.** [`poll_recv`](Self::poll_recv) gives the peer's window back as it assembles messages, also for
/// a message larger than the window. Not calling it is the backpressure: the peer is stopped when it has sent a
/// window's worth ([`Http2Config::stream_window`](super::Http2Config::stream_window)).
///
/// **Sending.** Wait for [`poll_send_ready`](Self::poll_send_ready), then [`send`](Self::send) one message of any
/// size; h2 keeps it until window and socket take it.
///
/// **Ending.** A server's [`finish`](Self::finish) sends the status; a client's
/// [`half_close`](Self::half_close) says that it sends no more. Dropped before either end, the stream is reset
/// (`CANCEL`).
#[derive(Debug)]
pub struct MessageStream {
    send: SendHalf,
    recv: RecvHalf,
    decoder: FrameDecoder,
    /// Bytes taken from h2 whose window has not been given back yet.
    unreleased: usize,
}

#[derive(Debug)]
enum SendHalf {
    /// Server: the initial headers wait for the first message.
    Headers {
        respond: SendResponse<Frame>,
        response: Box<Response<()>>,
    },
    Open(SendStream<Frame>),
    /// Nothing more can be sent; why is for `poll_recv` to say.
    Broken(Status),
}

#[derive(Debug)]
enum RecvHalf {
    /// Client: no response yet.
    Response(ResponseFuture),
    Open {
        body: RecvStream,
        /// A server is not sent any status, so END_STREAM alone is an orderly end for it.
        expects_status: bool,
    },
    Ended,
}

impl MessageStream {
    /// A server's end, whose initial headers have been sent.
    pub(super) fn accepted(send: SendStream<Frame>, body: RecvStream, max_message: usize) -> Self {
        Self::server(SendHalf::Open(send), body, max_message)
    }

    /// A server's end, whose initial headers go out with the first message.
    pub(super) fn lazily_accepted(
        respond: SendResponse<Frame>,
        response: Response<()>,
        body: RecvStream,
        max_message: usize,
    ) -> Self {
        let send = SendHalf::Headers {
            respond,
            response: Box::new(response),
        };
        Self::server(send, body, max_message)
    }

    fn server(send: SendHalf, body: RecvStream, max_message: usize) -> Self {
        Self {
            send,
            recv: RecvHalf::Open {
                body,
                expects_status: false,
            },
            decoder: FrameDecoder::new(max_message),
            unreleased: 0,
        }
    }

    /// A client's end, whose request headers have been sent.
    pub(super) fn called(
        send: SendStream<Frame>,
        response: ResponseFuture,
        max_message: usize,
    ) -> Self {
        Self {
            send: SendHalf::Open(send),
            recv: RecvHalf::Response(response),
            decoder: FrameDecoder::new(max_message),
            unreleased: 0,
        }
    }

    /// Client: ready with the metadata of the response once its headers have arrived. To be asked at most once;
    /// those who do not care for them go straight to [`poll_recv`](Self::poll_recv), which passes over them.
    ///
    /// # Errors
    /// The status with which the server refused the call (a trailers-only response), or why there is no
    /// response. The stream has ended then.
    ///
    /// On a server's end, and when asked again, the metadata is empty.
    pub fn poll_response_headers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<HeaderMap, Status>> {
        let RecvHalf::Response(response) = &mut self.recv else {
            return Poll::Ready(Ok(HeaderMap::new()));
        };
        let (head, body) = match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => response.into_parts(),
            Err(error) => {
                self.recv = RecvHalf::Ended;
                return Poll::Ready(Err(from_h2(&error)));
            }
        };
        self.recv = RecvHalf::Ended;
        let is_grpc = headers::is_grpc(&head.headers);
        if head.status != StatusCode::OK && !is_grpc {
            return Poll::Ready(Err(from_http(head.status)));
        }
        if body.is_end_stream() {
            // A trailers-only response; one of status 0 has nothing to say and no messages.
            let status = headers::status_of(&head.headers);
            return Poll::Ready(if status.code == Code::Ok {
                Ok(head.headers)
            } else {
                Err(status)
            });
        }
        if head.status != StatusCode::OK {
            return Poll::Ready(Err(from_http(head.status)));
        }
        if !is_grpc {
            return Poll::Ready(Err(Status::new(
                Code::Unknown,
                format!(
                    "received unexpected content-type {:?}",
                    head.headers.get(http::header::CONTENT_TYPE)
                ),
            )));
        }
        self.recv = RecvHalf::Open {
            body,
            expects_status: true,
        };
        Poll::Ready(Ok(head.headers))
    }

    /// [`poll_response_headers`](Self::poll_response_headers) as a future; something else has to poll the
    /// connection meanwhile.
    ///
    /// # Errors
    /// As there.
    pub async fn response_headers(&mut self) -> Result<HeaderMap, Status> {
        poll_fn(|cx| self.poll_response_headers(cx)).await
    }

    /// Ready with the next message; with `None` at an orderly end, which is END_STREAM from a client and status 0
    /// from a server.
    ///
    /// # Errors
    /// Why there are no more messages: the server's status, a reset, the loss of the connection, or a message
    /// that breaks the rules (a server then [`finish`](Self::finish)es with that very status, a client drops the
    /// stream). The receiving side has ended then.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match self.decoder.next_message() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(error) => {
                    self.recv = RecvHalf::Ended;
                    return Poll::Ready(Some(Err(error.status())));
                }
            }
            match &mut self.recv {
                RecvHalf::Response(_) => {
                    if let Err(status) = ready!(self.poll_response_headers(cx)) {
                        return Poll::Ready(Some(Err(status)));
                    }
                }
                RecvHalf::Open { body, .. } => match body.poll_data(cx) {
                    Poll::Ready(Some(Ok(data))) => {
                        self.unreleased += data.len();
                        self.decoder.push(data);
                        if self.unreleased >= RELEASE_STEP {
                            release(body, &mut self.unreleased);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => {
                        self.recv = RecvHalf::Ended;
                        return Poll::Ready(Some(Err(from_h2(&error))));
                    }
                    Poll::Ready(None) => return self.poll_end(cx),
                    Poll::Pending => {
                        release(body, &mut self.unreleased);
                        return Poll::Pending;
                    }
                },
                RecvHalf::Ended => return Poll::Ready(None),
            }
        }
    }

    /// [`poll_recv`](Self::poll_recv) as a future; something else has to poll the connection meanwhile.
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Result<Bytes, Status>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// What comes after the last data: trailers, or nothing.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        let RecvHalf::Open {
            body,
            expects_status,
        } = &mut self.recv
        else {
            return Poll::Ready(None);
        };
        let expects_status = *expects_status;
        let trailers = ready!(body.poll_trailers(cx));
        self.recv = RecvHalf::Ended;
        let status = match trailers {
            Err(error) => from_h2(&error),
            Ok(_) if !expects_status => Status::ok(),
            Ok(None) => without_trailers(),
            Ok(Some(trailers)) => headers::status_of(&trailers),
        };
        if status.code != Code::Ok {
            return Poll::Ready(Some(Err(status)));
        }
        if self.decoder.is_mid_message() {
            let status = Status::new(Code::Internal, "the stream ended inside a message");
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(None)
    }

    /// Ready when one more message may be sent.
    ///
    /// There is room as soon as the peer's window takes a single byte and less than
    /// [`Http2Config::max_send_buffer`](super::Http2Config::max_send_buffer) waits, so a message larger than
    /// either can be sent.
    ///
    /// # Errors
    /// Nothing can be sent any more; [`poll_recv`](Self::poll_recv) may know the reason better.
    pub fn poll_send_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let stream = match &mut self.send {
            // The first message opens the stream; it is small beside what an unused window takes.
            SendHalf::Headers { .. } => return Poll::Ready(Ok(())),
            SendHalf::Broken(status) => return Poll::Ready(Err(status.clone())),
            SendHalf::Open(stream) => stream,
        };
        if stream.capacity() == 0 {
            stream.reserve_capacity(1);
            // h2 announces capacity only once, and may have assigned some without that.
            if stream.capacity() == 0 {
                let status = match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(_)) => return Poll::Ready(Ok(())),
                    Some(Err(error)) => from_h2(&error),
                    None => send_closed(),
                };
                return Poll::Ready(Err(self.break_send(status)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// [`poll_send_ready`](Self::poll_send_ready) as a future; something else has to poll the connection
    /// meanwhile.
    ///
    /// # Errors
    /// As there.
    pub async fn send_ready(&mut self) -> Result<(), Status> {
        poll_fn(|cx| self.poll_send_ready(cx)).await
    }

    /// Sends a message, preceded by the initial headers if they are still due. It goes out when the connection
    /// is polled.
    ///
    /// Without [`poll_send_ready`](Self::poll_send_ready) before, messages pile up in h2 without bound.
    ///
    /// # Errors
    /// Nothing can be sent any more; [`poll_recv`](Self::poll_recv) may know the reason better.
    pub fn send(&mut self, message: Frame) -> Result<(), Status> {
        let stream = self.open_send()?;
        match stream.send_data(message, false) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.break_send(from_h2(&error))),
        }
    }

    /// Server: sends the initial headers if they are still due, before there is a message.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_headers(&mut self) -> Result<(), Status> {
        self.open_send().map(drop)
    }

    /// Server: adds to the initial headers, if they are still due; a value that no header can carry is left out.
    pub fn add_header(&mut self, name: &'static str, value: &str) {
        if let SendHalf::Headers { response, .. } = &mut self.send {
            crate::metadata::insert(response.headers_mut(), name, value);
        }
    }

    fn open_send(&mut self) -> Result<&mut SendStream<Frame>, Status> {
        if let SendHalf::Headers { respond, response } = &mut self.send {
            let response = std::mem::take(&mut **response);
            self.send = match respond.send_response(response, false) {
                Ok(stream) => SendHalf::Open(stream),
                Err(error) => SendHalf::Broken(from_h2(&error)),
            };
        }
        match &mut self.send {
            SendHalf::Open(stream) => Ok(stream),
            SendHalf::Broken(status) => Err(status.clone()),
            SendHalf::Headers { .. } => Err(send_closed()),
        }
    }

    fn break_send(&mut self, status: Status) -> Status {
        self.send = SendHalf::Broken(status.clone());
        status
    }

    /// Server: ends the RPC, after the messages sent so far. If there were none and the initial headers are still
    /// due, the answer is a single frame (trailers-only).
    ///
    /// A client that has not half-closed is told to stop (`RST_STREAM`, `NO_ERROR`). If the stream is broken
    /// already this does nothing.
    pub fn finish(self, status: &Status) {
        match self.send {
            SendHalf::Headers {
                mut respond,
                mut response,
            } => {
                headers::put_status(response.headers_mut(), status);
                // An error means that the client has gone, which is fine with one who is ending the call.
                let _ = respond.send_response(*response, true);
            }
            SendHalf::Open(mut stream) => {
                let mut trailers = HeaderMap::with_capacity(2);
                headers::put_status(&mut trailers, status);
                let _ = stream.send_trailers(trailers);
            }
            SendHalf::Broken(_) => {}
        }
    }

    /// Client: sends no more, which to a Konnectivity server means that the RPC is done. Receiving goes on until
    /// the server's status.
    pub fn half_close(&mut self) {
        if let SendHalf::Open(stream) = &mut self.send {
            let _ = stream.send_data(nothing(), true);
            self.send = SendHalf::Broken(send_closed());
        }
    }

    /// Ends both directions at once; what has not gone out is discarded.
    pub fn reset(self, reason: Reason) {
        match self.send {
            SendHalf::Headers { mut respond, .. } => respond.send_reset(reason),
            SendHalf::Open(mut stream) => stream.send_reset(reason),
            SendHalf::Broken(_) => {}
        }
    }

    /// Ready when the peer has reset the stream or the connection is lost, for times at which neither receiving
    /// nor sending is of interest. Uses the waker of the sending side.
    ///
    /// While [`poll_recv`](Self::poll_recv) is called there is no need of it, unless the peer has half-closed.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let reset = match &mut self.send {
            SendHalf::Headers { respond, .. } => respond.poll_reset(cx),
            SendHalf::Open(stream) => stream.poll_reset(cx),
            SendHalf::Broken(status) => return Poll::Ready(status.clone()),
        };
        reset.map(|reset| match reset {
            Ok(reason) => Status::from_reset(reason.into()),
            Err(error) => from_h2(&error),
        })
    }
}

/// Gives window back to the peer. It fails only for a stream that has ended, whose window nobody needs.
fn release(body: &mut RecvStream, unreleased: &mut usize) {
    if *unreleased > 0 {
        let _ = body.flow_control().release_capacity(*unreleased);
        *unreleased = 0;
    }
}

/// A frame of which everything was taken: no bytes, for a DATA frame that only says END_STREAM.
fn nothing() -> Frame {
    let mut frame = Frame::from(Packet::Drain);
    frame.advance(frame.len());
    frame
}
