//! Drives one tunnel's packets between its gRPC stream and its machine.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use dialback_core::Packet;
use dialback_core::wire::{Decoded, Frame, Status, decode};

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
}

/// The packet side of a tunnel; polled by the task that owns the connection, so that no packet waits for
/// another task.
pub(crate) struct TunnelDriver<R: Runtime, M: Machine> {
    tunnel: Arc<Tunnel<M>>,
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
            let (deadline, wants_read) = self
                .tunnel
                .with(|machine| (machine.poll_timeout(), machine.wants_read()));
            self.timer.set(deadline);
            if let Poll::Ready(now) = self.timer.poll(cx) {
                self.tunnel.with(|machine| machine.handle_timeout(now));
                continue;
            }
            if !received && self.tunnel.park(cx.waker(), blocked, !wants_read, deadline) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        let mut bytes = 0;
        let mut end = None;
        let wants_read = self.tunnel.with(|machine| machine.wants_read());
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
                            self.tunnel.observer.received(packet.kind());
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
            let batch = &mut self.batch;
            self.tunnel.with(|machine| {
                for packet in batch.drain(..) {
                    machine.handle_packet(now, packet);
                }
            });
        }
        match end {
            Some(end) => Poll::Ready(Received::End(end)),
            None if any => Poll::Ready(Received::Some),
            None => Poll::Pending,
        }
    }

    /// Sends until there is nothing more (`Ready`) or no room (`Pending`).
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        if self.half_closed {
            return Poll::Pending;
        }
        let now = self.runtime.now();
        loop {
            ready!(stream.poll_send_ready(cx))?;
            let Some(packet) = self.tunnel.with(|machine| machine.poll_transmit(now)) else {
                return Poll::Ready(Ok(()));
            };
            self.tunnel.observer.sent(packet.kind());
            stream.send(Frame::from(packet))?;
        }
    }

    fn end(&mut self, end: TunnelEnd) -> TunnelEnd {
        if let TunnelEnd::Failed(status) = &end {
            self.tunnel.observer.receive_failed(status);
        }
        self.take_down();
        end
    }

    /// Tells the machine that the tunnel is down, and leaves its remaining timers to a task of their own.
    fn take_down(&mut self) {
        if std::mem::replace(&mut self.down, true) {
            return;
        }
        let now = self.runtime.now();
        let timers = self.tunnel.with(|machine| {
            machine.handle_down(now);
            machine.poll_timeout().is_some()
        });
        if !timers {
            return;
        }
        let tunnel = Arc::clone(&self.tunnel);
        let mut timer = Timer::new(self.runtime.clone());
        self.runtime.spawn(poll_fn(move |cx| {
            loop {
                let deadline = tunnel.with(|machine| machine.poll_timeout());
                if deadline.is_none() {
                    return Poll::Ready(());
                }
                timer.set(deadline);
                match timer.poll(cx) {
                    Poll::Ready(now) => tunnel.with(|machine| machine.handle_timeout(now)),
                    Poll::Pending if tunnel.park_timers(cx.waker(), deadline) => {
                        return Poll::Pending;
                    }
                    Poll::Pending => {}
                }
            }
        }));
    }
}

impl<R: Runtime, M: Machine> Drop for TunnelDriver<R, M> {
    fn drop(&mut self) {
        self.take_down();
        if self.paused {
            self.tunnel.observer.paused(false);
        }
    }
}

enum Received {
    Some,
    End(TunnelEnd),
}
