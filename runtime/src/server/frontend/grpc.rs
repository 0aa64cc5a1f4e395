//! gRPC frontends: the Proxy streams of one HTTP/2 connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dialback_core::audit::TraceParent;
use dialback_core::server::{
    DialError, ProxyAction, ProxyStream, ProxyStreamConfig, StreamOutput, StreamRef,
};
use dialback_core::wire::{Code, Decoded, Frame, SERVED_BY, Status, decode};
use dialback_core::{CloseReason, DialId};

use super::Frontend;
use super::port::FrontendStream;
use crate::grpc::MessageStream;
use crate::metrics::{Counted, Segment};
use crate::runtime::Runtime;
use crate::server::Server;
use crate::server::dialling::DialRequest;
use crate::server::throttling::{Admitted, Waiting};
use crate::timer::{Timer, timeout_at};
use crate::tunnel::Port;

/// Turns after which a busy frontend lets other tasks run.
const TURNS: usize = 32;

/// What a Proxy call has beyond Konnectivity.
#[derive(Clone, Debug)]
pub(super) struct ProxyOptions {
    /// It agreed on `half-close/1`.
    pub(super) half_close: bool,
    /// The frontend wants to know which agent serves it.
    pub(super) asks_for_agent: bool,
    /// The labels that it wants of that agent, as it wrote them.
    pub(super) selector: Option<String>,
    /// The trace that it belongs to.
    pub(super) trace: Option<TraceParent>,
}

/// Serves one Proxy stream until it ends.
///
/// `timeout` is what the client's `grpc-timeout` allows for the whole call; kube-apiserver sets none.
pub(super) async fn serve_proxy_stream<R: Runtime>(
    server: Arc<Server<R>>,
    stream: MessageStream,
    frontend: Arc<Frontend>,
    timeout: Option<Duration>,
    options: ProxyOptions,
) {
    let runtime = server.runtime.clone();
    let deadline = timeout.and_then(|timeout| runtime.now().checked_add(timeout));
    let mut task = ProxyTask::new(server, stream, frontend, options);
    let served = poll_fn(|cx| task.poll(cx));
    let end = match deadline {
        Some(deadline) => timeout_at(&runtime, deadline, served)
            .await
            .unwrap_or_else(|_| {
                Err(Status::new(
                    Code::DeadlineExceeded,
                    "context deadline exceeded",
                ))
            }),
        None => served.await,
    };
    task.finish(end);
}

struct ProxyTask<R: Runtime> {
    server: Arc<Server<R>>,
    stream: MessageStream,
    frontend: Arc<Frontend>,
    machine: ProxyStream,
    options: ProxyOptions,
    streams: Vec<FrontendStream<R>>,
    /// Dials that are over a limit.
    waiting: Vec<(DialId, DialRequest<R>, Waiting<R>)>,
    timer: Timer<R>,
    /// Counts while the frontend is not read because a queue of its is full.
    paused: Option<Counted>,
}

impl<R: Runtime> ProxyTask<R> {
    fn new(
        server: Arc<Server<R>>,
        stream: MessageStream,
        frontend: Arc<Frontend>,
        options: ProxyOptions,
    ) -> Self {
        let now = server.runtime.now();
        let config = ProxyStreamConfig {
            half_close: options.half_close,
            ..server.config.proxy_stream.clone()
        };
        let machine = ProxyStream::new(now, config);
        let timer = Timer::new(server.runtime.clone());
        Self {
            server,
            stream,
            frontend,
            machine,
            options,
            streams: Vec::new(),
            waiting: Vec::new(),
            timer,
            paused: None,
        }
    }

    /// Ready with the status to end the call with.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Status, Status>> {
        for _ in 0..TURNS {
            let mut moved = false;
            if let Some(status) = self.act() {
                return Poll::Ready(Ok(status));
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(true)) => moved = true,
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(Status::ok())),
                Poll::Ready(Err(status)) => return Poll::Ready(Err(status)),
                Poll::Pending => {}
            }
            if let Some(status) = self.act() {
                return Poll::Ready(Ok(status));
            }
            moved |= self.poll_waiting(cx);
            match self.poll_send(cx) {
                Poll::Ready(Ok(())) => moved = true,
                Poll::Ready(Err(status)) => return Poll::Ready(Err(status)),
                Poll::Pending => {}
            }
            if moved {
                continue;
            }
            self.timer.set(self.machine.poll_timeout());
            match self.timer.poll(cx) {
                Poll::Ready(now) => self.machine.handle_timeout(now),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One packet from the frontend; `false` at its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Status>> {
        let machine = &self.machine;
        let is_open = |held: &FrontendStream<R>| {
            let mut open = machine.open_streams();
            open.any(|at| at == held.stream_ref())
        };
        let mut open = self.streams.iter_mut().filter(|held| is_open(held));
        if !machine.wants_read() || !open.all(|held| held.wants_data(cx)) {
            let metrics = &self.server.metrics;
            self.paused
                .get_or_insert_with(|| metrics.full_receive_channel("Proxy"));
            // Not read, but a frontend that goes away is noticed all the same.
            return self.stream.poll_reset(cx).map(Err);
        }
        self.paused = None;
        let Some(message) = std::task::ready!(self.stream.poll_recv(cx)) else {
            return Poll::Ready(Ok(false));
        };
        let metrics = &self.server.metrics;
        let message = message
            .inspect_err(|status| metrics.packet_failed(Segment::FromClient, status.code, None))?;
        match decode(message).map_err(|error| error.status())? {
            Decoded::Packet(packet) => {
                metrics.packet(Segment::FromClient, packet.kind());
                self.machine
                    .handle_packet(self.server.runtime.now(), packet);
            }
            // Extension points of the protocol: what a peer may send and nobody must know.
            Decoded::UnknownType(_) | Decoded::MissingPayload(_) => {}
        }
        Poll::Ready(Ok(true))
    }

    /// Packets to the frontend while there is room and something to send.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let mut moved = false;
        loop {
            if !self.machine.has_transmit() && !self.poll_outputs(cx) {
                return if moved {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Pending
                };
            }
            std::task::ready!(self.stream.poll_send_ready(cx))?;
            if let Some(packet) = self.machine.poll_transmit() {
                let started = self.server.runtime.now();
                let kind = packet.kind();
                self.server.metrics.packet(Segment::ToClient, kind);
                self.stream.send(Frame::from(packet))?;
                self.server
                    .metrics
                    .frontend_write(self.server.runtime.now() - started);
                moved = true;
            }
        }
    }

    /// Takes one output of a link, if there is one and it may be taken.
    fn poll_outputs(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.machine.wants_output() {
            return false;
        }
        let mut outputs = self.streams.iter_mut();
        let found = outputs.find_map(|held| Some((held.poll_output(cx)?, &*held)));
        let Some((output, held)) = found else {
            return false;
        };
        if self.options.asks_for_agent && matches!(output, StreamOutput::Dialled(_)) {
            self.stream.add_header(SERVED_BY, held.agent_id());
        }
        self.machine
            .handle_output(self.server.runtime.now(), held.stream_ref(), output);
        self.release_ended();
        true
    }

    fn release_ended(&mut self) {
        let machine = &self.machine;
        self.streams
            .retain(|held| machine.live_streams().any(|live| live == held.stream_ref()));
    }

    /// Carries out what the machine decided; a status when the call is to end.
    fn act(&mut self) -> Option<Status> {
        while let Some(action) = self.machine.poll_action() {
            match action {
                ProxyAction::Route {
                    dial,
                    protocol,
                    address,
                } => {
                    let mut request = DialRequest {
                        frontend: Arc::clone(&self.frontend),
                        protocol,
                        address,
                        selector: self.options.selector.clone(),
                        trail: None,
                    };
                    let trace = self.options.trace;
                    self.server.follow(&mut request, Some(dial), trace);
                    match self.server.wait_for_turn(&request) {
                        Ok(None) => self.dial(dial, request, None),
                        Ok(Some(waiting)) => self.waiting.push((dial, request, waiting)),
                        Err(error) => self.refuse(dial, request, error),
                    }
                }
                ProxyAction::Data(at, data) => {
                    if let Some(held) = self.held(at) {
                        held.push(data);
                    }
                }
                ProxyAction::EndOfData(at) => {
                    if let Some(held) = self.held(at) {
                        held.end_of_data();
                    }
                }
                ProxyAction::Close(at, reason) => {
                    if let Some(held) = self.held(at) {
                        held.close(reason);
                    }
                }
                ProxyAction::Gone(at, reason) => {
                    if let Some(held) = self.held(at) {
                        held.gone(reason);
                    }
                    self.streams.retain(|held| held.stream_ref() != at);
                }
                ProxyAction::Finish => return Some(Status::ok()),
            }
        }
        None
    }

    /// Starts a dial that may start.
    fn dial(&mut self, dial: DialId, request: DialRequest<R>, admitted: Option<Admitted<R>>) {
        let routed = self.server.dial(request, admitted).map(|mut held| {
            if self.options.half_close {
                held.allow_half_close();
            }
            let at = held.stream_ref();
            self.streams.push(held);
            at
        });
        let now = self.server.runtime.now();
        self.machine.handle_routed(now, dial, routed);
    }

    /// Tells of a dial that may not start.
    fn refuse(&mut self, dial: DialId, request: DialRequest<R>, error: DialError) {
        self.server.dial_not_started(request, &error);
        let now = self.server.runtime.now();
        self.machine.handle_routed(now, dial, Err(error));
    }

    /// Starts, or refuses, dials whose turn has come; `true` when there was one.
    fn poll_waiting(&mut self, cx: &Context<'_>) -> bool {
        let machine = &self.machine;
        // Who gave his dial up waits no more.
        self.waiting
            .retain(|(dial, ..)| machine.awaits_route(*dial));
        let mut decided = Vec::new();
        let mut position = 0;
        while let Some((_, _, waiting)) = self.waiting.get_mut(position) {
            match waiting.poll(cx) {
                Poll::Pending => position += 1,
                Poll::Ready(leave) => {
                    let (dial, request, _) = self.waiting.remove(position);
                    decided.push((dial, request, leave));
                }
            }
        }
        let moved = !decided.is_empty();
        for (dial, request, leave) in decided {
            match leave {
                Ok(admitted) => self.dial(dial, request, Some(admitted)),
                Err(error) => self.refuse(dial, request, error),
            }
        }
        moved
    }

    fn held(&mut self, at: StreamRef) -> Option<&mut FrontendStream<R>> {
        self.streams.iter_mut().find(|held| held.stream_ref() == at)
    }

    fn finish(mut self, end: Result<Status, Status>) {
        let peer = self.frontend.peer;
        let orderly = end.is_ok();
        self.machine.handle_end(if orderly {
            CloseReason::FrontendClosed
        } else {
            CloseReason::FrontendLost
        });
        self.act();
        let status = match end {
            Ok(status) => status,
            Err(status) => {
                // A reset is how clients end a call, and a lost connection is told of where it is served.
                if !matches!(status.code, Code::Canceled | Code::Unavailable) {
                    tracing::info!(%peer, %status, "stream of a frontend failed");
                }
                status
            }
        };
        self.stream.finish(&status);
    }
}
