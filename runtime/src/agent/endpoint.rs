//! One endpoint connection: dialled, pumped, let go.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use dialback_core::StreamId;
use dialback_core::agent::{EndpointOutput, Link};

use super::Agent;
use crate::dial::dial_endpoint_within;
use crate::net::Socket;
use crate::runtime::Runtime;
use crate::tunnel::{Port, PortOutput, Pump, PumpEnd, Tunnel};

/// Dials for a stream and moves its bytes until either side ends.
pub(super) async fn serve_endpoint<R: Runtime>(
    agent: Arc<Agent<R>>,
    tunnel: Arc<Tunnel<Link>>,
    stream: StreamId,
    protocol: String,
    address: String,
) {
    let mut held = EndpointStream {
        runtime: agent.runtime.clone(),
        tunnel,
        stream,
    };
    let started = agent.runtime.now();
    let dialled = tokio::select! {
        biased;
        () = held.abandoned() => return,
        dialled = dial_endpoint_within(
            &agent.runtime, &protocol, &address, agent.config.dial_timeout, &agent.config.destinations,
        ) => dialled,
    };
    let now = agent.runtime.now();
    let (connected, mut socket) = match dialled {
        Ok(connected) => connected,
        Err(failure) => {
            agent.metrics.endpoint_dial_failed(failure.is_timeout());
            if failure.is_refusal() {
                tracing::warn!(%stream, address, error = %failure, "endpoint dial refused");
            } else {
                tracing::debug!(%stream, address, error = %failure, "endpoint dial failed");
            }
            held.tunnel
                .with(|link| link.handle_dialled(now, stream, Err(failure.to_string())));
            return;
        }
    };
    agent.metrics.endpoint_dialled(now - started);
    if !held
        .tunnel
        .with(|link| link.handle_dialled(now, stream, Ok(Some(connected))))
    {
        return;
    }
    let mut pump = Pump::new();
    if poll_fn(|cx| pump.poll(cx, &mut socket, &mut held)).await == PumpEnd::Aborted {
        // The peer must not take a cut connection for one that ended; without the option it merely looks so.
        let _ = socket.reset_on_close();
    }
}

/// One stream of a tunnel, held for an endpoint. Dropped, it lets the stream go, whatever its state.
struct EndpointStream<R: Runtime> {
    runtime: R,
    tunnel: Arc<Tunnel<Link>>,
    stream: StreamId,
}

impl<R: Runtime> EndpointStream<R> {
    /// Ready when nobody waits for the dial any more.
    async fn abandoned(&self) {
        poll_fn(|cx| {
            let aborted = self
                .tunnel
                .with_stream(cx, self.stream, |link| link.is_aborted(self.stream));
            if aborted {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl<R: Runtime> Drop for EndpointStream<R> {
    fn drop(&mut self) {
        let now = self.runtime.now();
        self.tunnel
            .with(|link| link.handle_endpoint_gone(now, self.stream));
        self.tunnel.forget_stream(self.stream);
    }
}

impl<R: Runtime> Port for EndpointStream<R> {
    fn wants_data(&mut self, _: &mut Context<'_>) -> bool {
        self.tunnel
            .with(|link| link.wants_endpoint_data(self.stream))
    }

    fn push(&mut self, data: Bytes) {
        self.tunnel
            .with(|link| link.handle_endpoint_data(self.stream, data));
    }

    fn next(&mut self, cx: &Context<'_>) -> Option<PortOutput> {
        let now = self.runtime.now();
        let output = self
            .tunnel
            .with_stream(cx, self.stream, |link| link.poll_endpoint(now, self.stream));
        output.map(|output| match output {
            EndpointOutput::Write(data) => PortOutput::Write(data),
            EndpointOutput::Shutdown => PortOutput::Shutdown,
            EndpointOutput::Close => PortOutput::Close,
            EndpointOutput::Abort => PortOutput::Abort,
        })
    }

    fn is_aborted(&self) -> bool {
        self.tunnel.with(|link| link.is_aborted(self.stream))
    }

    fn read_ended(&mut self, end: io::Result<()>) -> bool {
        let now = self.runtime.now();
        let end = end.map_err(|error| format!("read from the endpoint: {error}"));
        self.tunnel
            .with(|link| link.handle_endpoint_end(now, self.stream, end));
        true
    }

    fn written(&mut self) {}

    fn write_failed(&mut self, error: io::Error) -> bool {
        let now = self.runtime.now();
        let text = format!("write to the endpoint: {error}");
        self.tunnel
            .with(|link| link.handle_endpoint_write_failed(now, self.stream, text));
        true
    }
}
