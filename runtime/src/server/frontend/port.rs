//! A frontend's hold on its stream.

use std::io;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use bytes::Bytes;
use dialback_core::server::{Link, StreamOutput, StreamRef};
use dialback_core::throttle::Direction;
use dialback_core::{CloseReason, StreamId};

use super::hedge::{Decision, Hedge};
use crate::metrics::ServerMetrics;
use crate::runtime::Runtime;
use crate::server::Server;
use crate::server::audit::Trail;
use crate::server::dialling::{DialRequest, Started};
use crate::server::throttling::Admitted;
use crate::tunnel::{Port, PortOutput};

/// One stream of an agent's tunnel, held for a frontend. Dropped, it gives the stream up, whatever its state.
#[derive(Debug)]
pub(crate) struct FrontendStream<R: Runtime> {
    runtime: R,
    /// The dial that serves it, as far as is known.
    started: Started,
    /// What it is known by, whichever agent serves it in the end.
    at: StreamRef,
    /// While the dial is not answered, and may be given to another agent.
    hedge: Option<Box<Hedge<R>>>,
    /// The leave that it was dialled with, where one is needed: its bytes may be limited.
    admitted: Option<Box<Admitted<R>>>,
    /// Follows it, where somebody wants to know.
    trail: Option<Box<Trail<R>>>,
    metrics: Arc<ServerMetrics>,
    /// When the bytes that are being written were taken.
    taken: Option<Instant>,
}

impl<R: Runtime> FrontendStream<R> {
    pub(crate) fn new(
        server: &Arc<Server<R>>,
        started: Started,
        mut request: DialRequest<R>,
        admitted: Option<Admitted<R>>,
    ) -> Self {
        let trail = request.trail.take();
        Self {
            runtime: server.runtime.clone(),
            trail,
            hedge: Hedge::new(server, &started.tunnel, request),
            at: StreamRef {
                link: started.tunnel.id(),
                stream: started.stream,
            },
            started,
            admitted: admitted.map(Box::new),
            metrics: Arc::clone(&server.metrics),
            taken: None,
        }
    }

    /// Has the link of the agent that serves it look at the stream.
    fn with<T>(&self, input: impl FnOnce(&mut Link, StreamId) -> T) -> T {
        let Started { tunnel, stream, .. } = &self.started;
        tunnel.with(|link| input(link, *stream))
    }

    /// The agent that serves it.
    pub(crate) fn agent_id(&self) -> &str {
        self.started.tunnel.peer_id()
    }

    pub(crate) const fn stream_ref(&self) -> StreamRef {
        self.at
    }

    /// The next output; on `None` the task is woken when there is one.
    pub(crate) fn poll_output(&mut self, cx: &mut Context<'_>) -> Option<StreamOutput> {
        let output = self.poll_agents(cx)?;
        if let Some(trail) = &mut self.trail {
            match &output {
                StreamOutput::Data(data) => trail.passed(Direction::ToFrontend, data.len()),
                StreamOutput::EndOfData => trail.ends(CloseReason::EndpointClosed),
                StreamOutput::Dialled(connect_id) => trail.opened(&self.started, *connect_id),
                StreamOutput::DialFailed(error) => {
                    trail.answered_by(&self.started);
                    trail.failed(Some(error));
                }
                StreamOutput::Closed(reason) => trail.closed(reason.clone()),
            }
        }
        Some(output)
    }

    /// The next output of the agent that serves it, or of the one that is to.
    fn poll_agents(&mut self, cx: &mut Context<'_>) -> Option<StreamOutput> {
        let now = self.runtime.now();
        if let Some(admitted) = &mut self.admitted
            && admitted.holds(cx, Direction::ToFrontend)
        {
            return None;
        }
        let Started { tunnel, stream, .. } = &self.started;
        let output = tunnel.with_stream(cx, *stream, |link| link.poll_stream(now, *stream));
        if let (Some(admitted), Some(StreamOutput::Data(data))) = (&mut self.admitted, &output) {
            admitted.pass(Direction::ToFrontend, data.len());
        }
        let Some(hedge) = &mut self.hedge else {
            return output;
        };
        match hedge.poll(cx, tunnel, output) {
            Decision::Open => None,
            Decision::First(output) => {
                self.hedge = None;
                Some(output)
            }
            Decision::Other(leg, output) => {
                self.started.give_up(now);
                self.started = leg.started;
                if let Some(admitted) = &mut self.admitted {
                    admitted.take_agent(self.started.tunnel.peer_id());
                }
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
        self.with(Link::allow_half_close);
    }

    /// The frontend sends no more; whether it may go on reading.
    pub(crate) fn end_of_data(&mut self) -> bool {
        self.ends(&CloseReason::FrontendClosed);
        let now = self.runtime.now();
        self.with(|link, stream| link.handle_frontend_end(now, stream))
    }

    /// The frontend closes and waits for the end.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.ends(&reason);
        let now = self.runtime.now();
        self.with(|link, stream| link.handle_frontend_close(now, stream, reason));
    }

    fn ends(&mut self, reason: &CloseReason) {
        if let Some(trail) = &mut self.trail {
            trail.ends(reason.clone());
        }
    }

    /// The frontend asks no more.
    pub(crate) fn gone(&mut self, reason: CloseReason) {
        self.ends(&reason);
        let now = self.runtime.now();
        self.with(|link, stream| link.handle_frontend_gone(now, stream, reason));
    }
}

impl<R: Runtime> Drop for FrontendStream<R> {
    fn drop(&mut self) {
        let now = self.runtime.now();
        self.with(|link, stream| {
            link.handle_frontend_gone(now, stream, CloseReason::FrontendLost);
        });
        self.started.tunnel.forget_stream(self.started.stream);
    }
}

impl<R: Runtime> Port for FrontendStream<R> {
    fn wants_data(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(admitted) = &mut self.admitted
            && admitted.holds(cx, Direction::ToEndpoint)
        {
            return false;
        }
        self.with(|link, stream| link.wants_frontend_data(stream))
    }

    fn push(&mut self, data: Bytes) {
        if let Some(admitted) = &mut self.admitted {
            admitted.pass(Direction::ToEndpoint, data.len());
        }
        if let Some(trail) = &mut self.trail {
            trail.passed(Direction::ToEndpoint, data.len());
        }
        self.with(|link, stream| link.handle_frontend_data(stream, data));
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
