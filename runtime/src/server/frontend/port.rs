//! A frontend's hold on its stream.

use std::io;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use bytes::Bytes;
use dialback_core::server::{Link, StreamOutput, StreamRef};
use dialback_core::throttle::Direction;
use dialback_core::{CloseReason, StreamId};

use super::hedge::{Decision, Hedge, give_up};
use crate::metrics::ServerMetrics;
use crate::runtime::Runtime;
use crate::server::dialling::{DialRequest, Started};
use crate::server::throttling::Admitted;
use crate::server::{Policed, Server};
use crate::tunnel::{Port, PortOutput, Tunnel};

/// One stream of an agent's tunnel, held for a frontend. Dropped, it gives the stream up, whatever its state.
#[derive(Debug)]
pub(crate) struct FrontendStream<R: Runtime> {
    runtime: R,
    tunnel: Arc<Tunnel<Link>>,
    stream: StreamId,
    /// What it is known by, whichever agent serves it in the end.
    at: StreamRef,
    /// While the dial is not answered, and may be given to another agent.
    hedge: Option<Box<Hedge<R>>>,
    /// The leave that it was dialled with, where one is needed: its bytes may be limited.
    admitted: Option<Box<Admitted<R>>>,
    metrics: Arc<ServerMetrics>,
    /// When the bytes that are being written were taken.
    taken: Option<Instant>,
    /// Keeps it under the eyes of the policy, if there is one.
    policed: Option<Policed>,
}

impl<R: Runtime> FrontendStream<R> {
    pub(crate) fn new(
        server: &Arc<Server<R>>,
        started: Started,
        request: DialRequest,
        admitted: Option<Admitted<R>>,
    ) -> Self {
        let Started {
            tunnel,
            stream,
            policed,
        } = started;
        Self {
            runtime: server.runtime.clone(),
            hedge: Hedge::new(server, &tunnel, request),
            at: StreamRef {
                link: tunnel.id(),
                stream,
            },
            tunnel,
            stream,
            admitted: admitted.map(Box::new),
            metrics: Arc::clone(&server.metrics),
            taken: None,
            policed,
        }
    }

    /// The agent that serves it.
    pub(crate) fn agent_id(&self) -> &str {
        self.tunnel.peer_id()
    }

    pub(crate) const fn stream_ref(&self) -> StreamRef {
        self.at
    }

    /// The next output; on `None` the task is woken when there is one.
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>) -> Option<StreamOutput> {
        let now = self.runtime.now();
        if let Some(admitted) = &mut self.admitted
            && admitted.holds(cx, Direction::ToFrontend)
        {
            return None;
        }
        let output = self
            .tunnel
            .with_stream(cx, self.stream, |link| link.poll_stream(now, self.stream));
        if let (Some(admitted), Some(StreamOutput::Data(data))) = (&mut self.admitted, &output) {
            admitted.pass(Direction::ToFrontend, data.len());
        }
        let Some(hedge) = &mut self.hedge else {
            return output;
        };
        match hedge.poll(cx, &self.tunnel, output) {
            Decision::Open => None,
            Decision::First(output) => {
                self.hedge = None;
                Some(output)
            }
            Decision::Other(leg, output) => {
                give_up(&self.tunnel, self.stream, now);
                self.tunnel = leg.tunnel;
                if let Some(admitted) = &mut self.admitted {
                    admitted.take_agent(self.tunnel.peer_id());
                }
                self.stream = leg.stream;
                self.policed = leg.policed;
                if output.is_some() {
                    self.hedge = None;
                }
                output
            }
        }
    }

    /// The frontend can end one direction and go on with the other.
    pub(crate) fn allow_half_close(&mut self) {
        if let Some(hedge) = &mut self.hedge {
            hedge.allow_half_close();
        }
        self.tunnel.with(|link| link.allow_half_close(self.stream));
    }

    /// The frontend sends no more; whether it may go on reading.
    pub(crate) fn end_of_data(&self) -> bool {
        let now = self.runtime.now();
        self.tunnel
            .with(|link| link.handle_frontend_end(now, self.stream))
    }

    /// The frontend closes and waits for the end.
    pub(crate) fn close(&self, reason: CloseReason) {
        let now = self.runtime.now();
        self.tunnel
            .with(|link| link.handle_frontend_close(now, self.stream, reason));
    }

    /// The frontend asks no more.
    pub(crate) fn gone(&self, reason: CloseReason) {
        let now = self.runtime.now();
        self.tunnel
            .with(|link| link.handle_frontend_gone(now, self.stream, reason));
    }
}

impl<R: Runtime> Drop for FrontendStream<R> {
    fn drop(&mut self) {
        self.gone(CloseReason::FrontendLost);
        self.tunnel.forget_stream(self.stream);
    }
}

impl<R: Runtime> Port for FrontendStream<R> {
    fn wants_data(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(admitted) = &mut self.admitted
            && admitted.holds(cx, Direction::ToEndpoint)
        {
            return false;
        }
        self.tunnel
            .with(|link| link.wants_frontend_data(self.stream))
    }

    fn push(&mut self, data: Bytes) {
        if let Some(admitted) = &mut self.admitted {
            admitted.pass(Direction::ToEndpoint, data.len());
        }
        self.tunnel
            .with(|link| link.handle_frontend_data(self.stream, data));
    }

    fn next(&mut self, cx: &Context<'_>) -> Option<PortOutput> {
        match self.poll_output(&mut Context::from_waker(cx.waker()))? {
            StreamOutput::Data(data) => {
                self.taken.get_or_insert_with(|| self.runtime.now());
                Some(PortOutput::Write(data))
            }
            StreamOutput::EndOfData => Some(PortOutput::Shutdown),
            StreamOutput::Closed(reason) if reason.is_orderly() => Some(PortOutput::Close),
            // A dial is answered before bytes are moved, so only an end can come here.
            StreamOutput::Closed(_) | StreamOutput::DialFailed(_) | StreamOutput::Dialled(_) => {
                Some(PortOutput::Abort)
            }
        }
    }

    /// What came for the frontend before the end is written first.
    fn is_aborted(&self) -> bool {
        false
    }

    fn read_ended(&mut self, end: io::Result<()>) -> bool {
        match end {
            Ok(()) if self.end_of_data() => return true,
            Ok(()) => self.gone(CloseReason::FrontendClosed),
            Err(_) => self.gone(CloseReason::FrontendLost),
        }
        false
    }

    fn written(&mut self) {
        if let Some(taken) = self.taken.take() {
            self.metrics.frontend_write(self.runtime.now() - taken);
        }
    }

    fn write_failed(&mut self, _: io::Error) -> bool {
        self.gone(CloseReason::FrontendLost);
        false
    }
}
