//! One connection through a proxy server in grpc mode.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use dialback_core::DialId;
use dialback_core::client::{
    ConnectionError, ReadOutput, Tunnel, TunnelConfig, TunnelEvent, TunnelLoss,
};
use dialback_core::wire::{
    Code, Decoded, EXTENSIONS, Extensions, Frame, SERVED_BY, Status, decode,
};
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::{DialError, FailedDial};
use super::links::Slot;
use crate::grpc::{MessageStream, MethodName};
use crate::metadata::header_values;
use crate::metrics::{ClientConnectionGauge, ClientMetrics, Segment};
use crate::runtime::Runtime;
use crate::timer::Timer;

/// The most that is taken from a writer at once, in bytes.
const LARGEST_WRITE: usize = 32 * 1024;

/// A connection through a Proxy stream; dropped, it closes in order, and a pending dial is given up.
#[derive(Debug)]
pub(super) struct GrpcStream<R: Runtime> {
    /// Taken when it is dropped.
    stream: Option<Box<ProxyStream<R>>>,
}

impl<R: Runtime> GrpcStream<R> {
    /// Opens a Proxy stream; nothing has been dialled yet.
    ///
    /// # Errors
    /// The connection takes no more streams. Nothing was sent, so another one may be tried.
    pub(super) async fn open(
        runtime: &R,
        slot: Slot,
        address: &str,
        deadline: Instant,
        name_agent: bool,
        metrics: Arc<ClientMetrics>,
    ) -> Result<Self, Status> {
        let now = runtime.now();
        let config = TunnelConfig {
            dial_timeout: deadline.saturating_duration_since(now),
            ..TunnelConfig::default()
        };
        let gauge = metrics.connection_created();
        let dial = DialId(fastrand::i64(0..));
        let tunnel = Tunnel::new(config, dial, "tcp", address, now)
            .map_err(|error| Status::new(Code::InvalidArgument, error.to_string()))?;
        let mut caller = slot.caller();
        caller.ready().await?;
        let offer = Extensions {
            half_close: true,
            ..Extensions::NONE
        };
        let mut metadata = HeaderMap::new();
        // It is always one; without it there is plain Konnectivity.
        if let Ok(offer) = HeaderValue::from_str(&offer.to_string()) {
            metadata.insert(EXTENSIONS, offer);
        }
        if name_agent {
            metadata.insert(SERVED_BY, HeaderValue::from_static("?"));
        }
        let messages = caller.call(&MethodName::PROXY, metadata, None)?;
        let stream = Some(Box::new(ProxyStream {
            messages,
            answered: false,
            agent_id: None,
            tunnel,
            timer: Timer::new(runtime.clone()),
            runtime: runtime.clone(),
            metrics,
            gauge,
            _slot: slot,
        }));
        Ok(Self { stream })
    }

    /// Dials. Dropping this gives the dial up, at the agent too.
    pub(super) async fn dial(&mut self, proxy: &str, address: &str) -> Result<(), FailedDial> {
        let failed = |status| DialError::status(proxy, address, status);
        let stream = self.stream();
        stream.messages.send_ready().await.map_err(failed)?;
        stream.gauge.dialing();
        stream.transmit().map_err(failed)?;
        stream.dialled(proxy, address).await?;
        stream.gauge.ok();
        Ok(())
    }

    /// The agent that serves it, if that was asked for and told with the answer to the dial.
    pub(super) fn agent_id(&self) -> Option<String> {
        self.stream.as_ref()?.agent_id.clone()
    }

    fn stream(&mut self) -> &mut ProxyStream<R> {
        let stream = self.stream.as_mut();
        stream.expect("the stream is taken only when this is dropped")
    }
}

impl<R: Runtime> Drop for GrpcStream<R> {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        let runtime = stream.runtime.clone();
        stream.tunnel.stop_reading();
        stream.tunnel.close(runtime.now());
        stream.send_rest();
        // A reset right away would overtake, at the server, what was written last.
        if !stream.tunnel.is_finished() {
            runtime.spawn(async move {
                while !stream.tunnel.is_finished() {
                    poll_fn(|cx| stream.poll_turn(cx)).await;
                }
            });
        }
    }
}

/// A Proxy stream and its tunnel.
#[derive(Debug)]
struct ProxyStream<R: Runtime> {
    messages: MessageStream,
    /// The server's response headers have come.
    answered: bool,
    /// The agent that serves it, if that was asked for and told.
    agent_id: Option<String>,
    tunnel: Tunnel,
    timer: Timer<R>,
    runtime: R,
    metrics: Arc<ClientMetrics>,
    gauge: ClientConnectionGauge,
    // After the stream that needs it.
    _slot: Slot,
}

impl<R: Runtime> ProxyStream<R> {
    async fn dialled(&mut self, proxy: &str, address: &str) -> Result<(), FailedDial> {
        loop {
            if let Some(TunnelEvent::Dialled(outcome)) = self.tunnel.poll_event() {
                return match outcome {
                    Ok(_) => Ok(()),
                    Err(error) => Err(DialError::client(address, &error)),
                };
            }
            let ended = poll_fn(|cx| self.poll_turn(cx)).await;
            if let Some(status) = ended {
                return Err(DialError::status(proxy, address, status).into());
            }
        }
    }

    /// Takes one message, or the end of the stream, or a time that has come. Tells the status of a stream that
    /// broke while the dial was pending.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        self.timer.set(self.tunnel.poll_timeout());
        let received = match self.poll_message(cx) {
            Poll::Ready(received) => received,
            Poll::Pending => {
                let now = ready!(self.timer.poll(cx));
                self.tunnel.handle_timeout(now);
                self.send_rest();
                return Poll::Ready(None);
            }
        };
        let mut broken = None;
        match received {
            Some(Ok(message)) => match decode(message) {
                Ok(Decoded::Packet(packet)) => {
                    self.metrics.packet(Segment::ToClient, packet.kind());
                    self.tunnel.handle_packet(packet);
                }
                // Of no type that is known here, hence to be ignored.
                Ok(Decoded::UnknownType(_) | Decoded::MissingPayload(_)) => {}
                Err(error) => self.tunnel.handle_stream_end(Err(error.to_string())),
            },
            Some(Err(status)) => {
                self.metrics
                    .packet_failed(Segment::ToClient, status.code, None);
                if self.gauge.is_dialing() {
                    broken = Some(status.clone());
                }
                self.tunnel.handle_stream_end(Err(status.to_string()));
            }
            None => self.tunnel.handle_stream_end(Ok(())),
        }
        self.send_rest();
        Poll::Ready(broken)
    }

    /// The next message, after the headers with what the server can do beyond Konnectivity.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if !self.answered {
            let headers = ready!(self.messages.poll_response_headers(cx));
            self.answered = true;
            match headers {
                Ok(headers) => {
                    if Extensions::parse(header_values(&headers, EXTENSIONS)).half_close {
                        self.tunnel.allow_half_close();
                    }
                    let agent_id = header_values(&headers, SERVED_BY).next();
                    self.agent_id =
                        agent_id.map(|agent_id| String::from_utf8_lossy(agent_id).into_owned());
                }
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
        }
        self.messages.poll_recv(cx)
    }

    /// Sends replies; a stream that is broken shows when it is read.
    fn send_rest(&mut self) {
        let _ = self.transmit();
    }

    /// Sends all that the tunnel has to send.
    fn transmit(&mut self) -> Result<(), Status> {
        while let Some(packet) = self.tunnel.poll_transmit(self.runtime.now()) {
            let kind = packet.kind();
            self.metrics.packet(Segment::FromClient, kind);
            if let Err(status) = self.messages.send(Frame::from(packet)) {
                self.metrics
                    .packet_failed(Segment::FromClient, status.code, Some(kind));
                return Err(status);
            }
        }
        Ok(())
    }

    /// Why nothing can be written: what ended the connection, if that is known by now.
    fn write_error(&self, status: Status) -> io::Error {
        match self.tunnel.ended() {
            Some(Err(error)) => io_error(error.clone()),
            Some(Ok(())) => io_error(ConnectionError::Closed),
            // The server ends a stream once it has said all; the reader will find that.
            None if status.code == Code::Ok => io_error(ConnectionError::Closed),
            None => io_error(ConnectionError::TunnelClosed(TunnelLoss::StreamFailed(
                status.to_string(),
            ))),
        }
    }
}

impl<R: Runtime> AsyncRead for GrpcStream<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut().stream();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match stream.tunnel.poll_read(buffer.remaining()) {
                Some(ReadOutput::Data(data)) => {
                    buffer.put_slice(&data);
                    return Poll::Ready(Ok(()));
                }
                Some(ReadOutput::Eof) => return Poll::Ready(Ok(())),
                Some(ReadOutput::Failed(error)) => return Poll::Ready(Err(io_error(error))),
                None => {
                    ready!(stream.poll_turn(cx));
                }
            }
        }
    }
}

impl<R: Runtime> AsyncWrite for GrpcStream<R> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut().stream();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Err(status) = ready!(stream.messages.poll_send_ready(cx)) {
            return Poll::Ready(Err(stream.write_error(status)));
        }
        let taken = bytes.len().min(LARGEST_WRITE);
        let mut data = Bytes::copy_from_slice(&bytes[..taken]);
        let taken = stream.tunnel.write(&mut data).map_err(io_error)?;
        // The tunnel's queue stays empty, since the stream takes a message of any size once it is ready.
        if let Err(status) = stream.transmit() {
            return Poll::Ready(Err(stream.write_error(status)));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was sent is the connection's, which sends it as soon as it can.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut().stream();
        stream.tunnel.end_writing(stream.runtime.now());
        stream.send_rest();
        Poll::Ready(Ok(()))
    }
}

fn io_error(error: ConnectionError) -> io::Error {
    let kind = match &error {
        ConnectionError::Failed(_) | ConnectionError::TunnelClosed(_) => {
            io::ErrorKind::ConnectionReset
        }
        ConnectionError::CloseTimedOut => io::ErrorKind::TimedOut,
        ConnectionError::Closed => io::ErrorKind::BrokenPipe,
        ConnectionError::NotEstablished => io::ErrorKind::NotConnected,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
