//! Drives a tunnel's packets between its gRPC stream, the present one of perhaps several, and its machine.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dialback_core::wire::{Decoded, Frame, Status, decode};
use dialback_core::{CloseReason, Packet};

use super::{Machine, Tunnel};
use crate::grpc::MessageStream;
use crate::runtime::Runtime;
use crate::timer::Timer;

/// Packets handled under one lock, and the payload bytes after which a batch ends.
const BATCH_PACKETS: usize = 32;
const BATCH_BYTES: usize = 256 * 1024;
/// Batches after which a busy tunnel lets other tasks run.
const TURNS: usize = 8;

/// How a tunnel's stream ended.
#[derive(Debug)]
pub(crate) enum TunnelEnd {
    /// The peer ended its side in order.
    Finished,
    /// The stream or its connection failed.
    Failed(Status),
    /// The machine has left the transport, since its peer says nothing or breaks the rules.
    Left,
    /// Another transport carries the tunnel on.
    Replaced,
}

/// The packet side of a tunnel; polled by the task that owns the connection, so that no packet waits for
/// another task.
pub(crate) struct TunnelDriver<R: Runtime, M: Machine> {
    tunnel: Arc<Tunnel<M>>,
    transport: u64,
    /// `None` once the call was ended.
    stream: Option<MessageStream>,
    runtime: R,
    timer: Timer<R>,
    batch: Vec<Packet>,
    down: bool,
    paused: bool,
    half_closed: bool,
}

impl<R: Runtime, M: Machine> TunnelDriver<R, M> {
    pub(crate) fn new(runtime: R, tunnel: Arc<Tunnel<M>>, stream: MessageStream) -> Self {
        let timer = Timer::new(runtime.clone());
        Self {
            transport: tunnel.transport(),
            tunnel,
            stream: Some(stream),
            runtime,
            timer,
            batch: Vec::new(),
            down: false,
            paused: false,
            half_closed: false,
        }
    }

    pub(crate) fn tunnel(&self) -> &Arc<Tunnel<M>> {
        &self.tunnel
    }

    /// Server: ends the call with a status.
    pub(crate) fn finish(&mut self, status: &Status) {
        if let Some(stream) = self.stream.take() {
            stream.finish(status);
        }
    }

    /// Client: sends no more, behind all that was sent; the end of the call is still received.
    pub(crate) fn half_close(&mut self) {
        if let Some(stream) = &mut self.stream
            && !std::mem::replace(&mut self.half_closed, true)
        {
            stream.half_close();
        }
    }

    /// Client, behind [`TunnelDriver::half_close`]: ready when the server has ended the call as well. What still
    /// comes before that is dropped.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(());
        };
        while let Some(Ok(_)) = ready!(stream.poll_recv(cx)) {}
        Poll::Ready(())
    }

    /// Moves packets both ways; ready when the stream has ended. The machine has been told then, and its
    /// remaining timers run in a task of their own.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        if self.stream.is_none() {
            return Poll::Ready(TunnelEnd::Finished);
        }
        for _ in 0..TURNS {
            let received = match self.receive(cx) {
                Poll::Ready(Received::Some) => true,
                Poll::Ready(Received::End(end)) => return Poll::Ready(self.end(end)),
                Poll::Pending => false,
            };
            let blocked = match self.send(cx) {
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(status)) => {
                    return Poll::Ready(self.end(TunnelEnd::Failed(status)));
                }
                Poll::Pending => true,
            };
            let state = self.with(|machine| {
                let up = machine.is_up();
                (machine.poll_timeout(), machine.wants_read(), up)
            });
            let (deadline, wants_read) = match state {
                None => return Poll::Ready(self.end(TunnelEnd::Replaced)),
                Some((_, _, false)) => return Poll::Ready(self.end(TunnelEnd::Left)),
                Some((deadline, wants_read, true)) => (deadline, wants_read),
            };
            self.timer.set(deadline);
            if let Poll::Ready(now) = self.timer.poll(cx) {
                self.with(|machine| machine.handle_timeout(now));
                continue;
            }
            let parked = !received
                && self
                    .tunnel
                    .park(self.transport, cx.waker(), blocked, !wants_read, deadline);
            if parked {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Gives the machine an input, if it is still on this transport.
    fn with<T>(&self, input: impl FnOnce(&mut M) -> T) -> Option<T> {
        self.tunnel.with_transport(self.transport, input)
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        let wants_read = self.with(|machine| machine.wants_read()).unwrap_or(false);
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        let mut bytes = 0;
        let mut end = None;
        if self.paused == wants_read {
            self.paused = !wants_read;
            self.tunnel.observer.paused(self.paused);
        }
        while wants_read && self.batch.len() < BATCH_PACKETS && bytes < BATCH_BYTES {
            match stream.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => end = Some(TunnelEnd::Finished),
                Poll::Ready(Some(Err(status))) => end = Some(TunnelEnd::Failed(status)),
                Poll::Ready(Some(Ok(message))) => {
                    bytes += message.len();
                    match decode(message) {
                        Ok(Decoded::Packet(packet)) => {
                            self.tunnel.observer.received(&packet);
                            self.batch.push(packet);
                        }
                        // Extension points of the protocol: what a peer may send and nobody must know.
                        Ok(Decoded::UnknownType(_) | Decoded::MissingPayload(_)) => {}
                        Err(error) => end = Some(TunnelEnd::Failed(error.status())),
                    }
                }
            }
            if end.is_some() {
                break;
            }
        }
        let any = !self.batch.is_empty();
        if any {
            let now = self.runtime.now();
            let mut batch = std::mem::take(&mut self.batch);
            self.with(|machine| {
                for packet in batch.drain(..) {
                    machine.handle_packet(now, packet);
                }
            });
            batch.clear();
            self.batch = batch;
        }
        match end {
            Some(end) => Poll::Ready(Received::End(end)),
            None if any => Poll::Ready(Received::Some),
            None => Poll::Pending,
        }
    }

    /// Sends until there is nothing more (`Ready`) or no room (`Pending`).
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let (tunnel, transport) = (&self.tunnel, self.transport);
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        if self.half_closed {
            return Poll::Pending;
        }
        let now = self.runtime.now();
        loop {
            ready!(stream.poll_send_ready(cx))?;
            let packet = tunnel.with_transport(transport, |machine| machine.poll_transmit(now));
            let Some(packet) = packet.flatten() else {
                return Poll::Ready(Ok(()));
            };
            self.tunnel.observer.sent(&packet);
            stream.send(Frame::from(packet))?;
        }
    }

    fn end(&mut self, end: TunnelEnd) -> TunnelEnd {
        match &end {
            TunnelEnd::Failed(status) => {
                self.tunnel.observer.receive_failed(status);
                self.leave(None);
            }
            TunnelEnd::Finished => self.leave(Some(CloseReason::TunnelEnded(M::PEER))),
            TunnelEnd::Left | TunnelEnd::Replaced => self.leave(None),
        }
        end
    }

    /// Ends the tunnel with its streams, whatever its transport could still do.
    pub(crate) fn give_up(&mut self) {
        self.leave(Some(CloseReason::TunnelEnded(M::SELF)));
    }

    /// Tells the machine, if it is still on this transport, that it is lost or, with a reason, ended in order; and
    /// leaves the machine's remaining timers to a task of their own, until it is on another one.
    fn leave(&mut self, reason: Option<CloseReason>) {
        if std::mem::replace(&mut self.down, true) {
            return;
        }
        leave_transport(&self.runtime, &self.tunnel, self.transport, reason);
    }
}

/// The transport of a tunnel, which has no driver yet, is lost.
pub(crate) fn lose_transport<R: Runtime, M: Machine>(runtime: &R, tunnel: &Arc<Tunnel<M>>) {
    leave_transport(runtime, tunnel, tunnel.transport(), None);
}

fn leave_transport<R: Runtime, M: Machine>(
    runtime: &R,
    tunnel: &Arc<Tunnel<M>>,
    transport: u64,
    reason: Option<CloseReason>,
) {
    let now = runtime.now();
    let timers = tunnel.with_transport(transport, |machine| {
        match reason {
            Some(reason) => machine.handle_ended(now, reason),
            None => machine.handle_lost(now),
        }
        machine.poll_timeout().is_some()
    });
    if timers != Some(true) {
        return;
    }
    let tunnel = Arc::clone(tunnel);
    let mut timer = Timer::new(runtime.clone());
    runtime.spawn(poll_fn(move |cx| {
        loop {
            let deadline = tunnel
                .with_transport(transport, |machine| machine.poll_timeout())
                .flatten();
            if deadline.is_none() {
                return Poll::Ready(());
            }
            timer.set(deadline);
            match timer.poll(cx) {
                Poll::Ready(now) => {
                    tunnel.with_transport(transport, |machine| machine.handle_timeout(now));
                }
                Poll::Pending if tunnel.park_timers(transport, cx.waker(), deadline) => {
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
    }));
}

impl<R: Runtime, M: Machine> Drop for TunnelDriver<R, M> {
    fn drop(&mut self) {
        self.leave(None);
        if self.paused {
            self.tunnel.observer.paused(false);
        }
    }
}

enum Received {
    Some,
    End(TunnelEnd),
}
