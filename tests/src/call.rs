//! gRPC by hand on h2: peers that may send whatever they like.

use std::future::poll_fn;
use std::io;

use bytes::{Buf, Bytes};
use dialback_core::wire::{Decoded, Frame, FrameDecoder, Packet, decode};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::wait::within;

/// The path of the frontends' call.
pub const PROXY: &str = "/ProxyService/Proxy";
/// The path of the agents' call.
pub const CONNECT: &str = "/AgentService/Connect";

/// A client's HTTP/2 connection. Dropped, it is cut: the peer sees the socket close, nothing else.
pub struct Connection {
    h2: SendRequest<Bytes>,
    _driver: Driver,
}

/// Moves a connection until dropped.
pub struct Driver(JoinHandle<()>);

impl Driver {
    pub fn new(driving: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(driving))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Sends the preface.
    pub async fn start<T>(io: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (h2, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 24)
            .handshake(io)
            .await
            .unwrap();
        Self {
            h2,
            _driver: Driver::new(async move {
                let _ = connection.await;
            }),
        }
    }

    /// Starts a call; messages may follow at once.
    pub async fn call(&mut self, path: &str, metadata: &[(&'static str, &str)]) -> Call {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        poll_fn(|cx| self.h2.poll_ready(cx)).await.unwrap();
        let (response, send) = self.h2.send_request(request, false).unwrap();
        Call {
            sender: Sender(send),
            receiver: Receiver {
                state: State::Response(response),
                decoder: FrameDecoder::new(16 << 20),
                headers: HeaderMap::new(),
            },
        }
    }

    /// Waits until the peer has closed the connection.
    pub async fn closed(&mut self) {
        within("the connection ends", async {
            while poll_fn(|cx| self.h2.poll_ready(cx)).await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        })
        .await;
    }
}

/// One call, from either end.
pub struct Call {
    pub sender: Sender,
    pub receiver: Receiver,
}

/// The sending half of a call.
pub struct Sender(SendStream<Bytes>);

/// The receiving half of a call.
pub struct Receiver {
    state: State,
    decoder: FrameDecoder,
    headers: HeaderMap,
}

enum State {
    Response(ResponseFuture),
    Body(RecvStream),
}

/// How a call ended, seen from its receiving side.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With a gRPC status: `grpc-status` and `grpc-message`.
    Status(String, String),
    /// The peer said that it sends no more, as a client does.
    Finished,
    /// It was cut.
    Lost(String),
}

impl End {
    /// A status of this code.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Status(got, _) if got == code)
    }
}

impl Call {
    /// The end of a server, whose response headers were sent.
    #[must_use]
    pub fn accepted(send: SendStream<Bytes>, body: RecvStream) -> Self {
        Self {
            sender: Sender(send),
            receiver: Receiver {
                state: State::Body(body),
                decoder: FrameDecoder::new(16 << 20),
                headers: HeaderMap::new(),
            },
        }
    }

    pub async fn send(&mut self, packet: Packet) {
        self.sender.send(packet).await;
    }

    pub async fn recv(&mut self) -> Result<Packet, End> {
        self.receiver.recv().await
    }

    /// Reads over what is left, to the end.
    pub async fn end(&mut self) -> End {
        self.receiver.end().await
    }
}

impl Sender {
    /// Sends a packet as soon as the peer's window has room for all of it.
    pub async fn send(&mut self, packet: Packet) {
        self.try_send(packet).await.unwrap();
    }

    /// As [`Sender::send`], to a peer that may be gone.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn try_send(&mut self, packet: Packet) -> Result<(), h2::Error> {
        let mut frame = Frame::from(packet);
        let message = frame.copy_to_bytes(frame.remaining());
        self.0.reserve_capacity(message.len());
        within("room in the peer's window", async {
            while self.0.capacity() < message.len() {
                match poll_fn(|cx| self.0.poll_capacity(cx)).await {
                    Some(room) => drop(room?),
                    None => return Err(Reason::CANCEL.into()),
                }
            }
            Ok::<(), h2::Error>(())
        })
        .await?;
        self.0.send_data(message, false)
    }

    /// Sends bytes that need be no message, whatever room there is.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn send_raw(&mut self, bytes: impl Into<Bytes>) -> Result<(), h2::Error> {
        self.0.send_data(bytes.into(), false)
    }

    /// Sends `message` in a frame of gRPC.
    pub fn send_message(&mut self, message: &[u8]) {
        self.send_raw(framed(message)).unwrap();
    }

    /// Says that nothing more comes (END_STREAM).
    pub fn finish(&mut self) {
        self.0.send_data(Bytes::new(), true).unwrap();
    }

    /// Server: ends the call with a status.
    pub fn finish_with(&mut self, code: &str, message: &str) {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        trailers.insert("grpc-message", message.parse().unwrap());
        self.0.send_trailers(trailers).unwrap();
    }

    /// Gives the call up (RST_STREAM, CANCEL).
    pub fn reset(&mut self) {
        self.0.send_reset(Reason::CANCEL);
    }
}

/// A gRPC message with its prefix.
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

impl Receiver {
    /// The metadata of the response.
    pub async fn headers(&mut self) -> Result<HeaderMap, End> {
        if let State::Response(response) = &mut self.state {
            let response = within("response headers", response).await;
            let response = response.map_err(|error| End::Lost(error.to_string()))?;
            let (head, body) = response.into_parts();
            if let Some(end) = status(&head.headers) {
                return Err(end);
            }
            self.headers = head.headers;
            self.state = State::Body(body);
        }
        Ok(self.headers.clone())
    }

    /// The next packet.
    ///
    /// # Errors
    /// How the call ended.
    pub async fn recv(&mut self) -> Result<Packet, End> {
        self.headers().await?;
        let State::Body(body) = &mut self.state else {
            unreachable!("the headers have been taken");
        };
        loop {
            if let Some(message) = self.decoder.next_message().unwrap() {
                match decode(message).unwrap() {
                    Decoded::Packet(packet) => return Ok(packet),
                    other => panic!("the code under test sent {other:?}"),
                }
            }
            match within("a packet", body.data()).await {
                Some(Ok(data)) => {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    self.decoder.push(data);
                }
                Some(Err(error)) => return Err(lost(&error)),
                None => {
                    return Err(match within("trailers", body.trailers()).await {
                        Ok(Some(trailers)) => status(&trailers).unwrap(),
                        Ok(None) => End::Finished,
                        Err(error) => lost(&error),
                    });
                }
            }
        }
    }

    /// Reads over what is left, to the end.
    pub async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.recv().await {
                return end;
            }
        }
    }
}

fn lost(error: &h2::Error) -> End {
    if error.get_io().map(io::Error::kind) == Some(io::ErrorKind::BrokenPipe) {
        return End::Lost("connection closed".to_owned());
    }
    End::Lost(error.to_string())
}

fn status(headers: &HeaderMap) -> Option<End> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &http::HeaderValue| value.to_str().unwrap().to_owned())
    };
    let code = text("grpc-status")?;
    Some(End::Status(code, text("grpc-message").unwrap_or_default()))
}
