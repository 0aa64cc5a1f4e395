//! What endpoints do, and what they are told.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::state::Phase;
use super::{EndpointOutput, Link, LinkEvent};
use crate::close::CloseReason;
use crate::ids::{DialId, StreamId};
use crate::wire::Packet;

impl Link {
    /// What came of a [`LinkEvent::Dial`]; an error is sent to the server in these words.
    ///
    /// The address is the one that the connection is to, `None` where it has none (a Unix socket); a server that
    /// knows `dialled-address/1` is told.
    ///
    /// `false` when nobody wants the connection any more: close it.
    pub fn handle_dialled(
        &mut self,
        now: Instant,
        id: StreamId,
        dialled: Result<Option<SocketAddr>, String>,
    ) -> bool {
        let Some(stream) = self.mux.stream_mut(id) else {
            return false;
        };
        let Phase::Dialing { dial, connect_id } = stream.state.phase else {
            return false;
        };
        self.dials.remove(&dial);
        match dialled {
            Ok(address) if self.mux.establish(id, connect_id) => {
                if let Some(stream) = self.mux.stream_mut(id) {
                    stream.state.phase = Phase::Open;
                    stream.state.opened = now;
                }
                let connect_id = Some(connect_id);
                self.mux.send_control(Packet::DialResponse {
                    dial,
                    connect_id,
                    error: String::new(),
                    address: address.filter(|_| self.negotiated.dialled_address),
                });
                self.events.push_back(LinkEvent::Opened {
                    stream: id,
                    connect_id,
                });
                true
            }
            Ok(_) => {
                self.refuse_dial(
                    id,
                    dial,
                    format!("connection id {} is already in use", connect_id.value()),
                );
                false
            }
            Err(error) => {
                self.refuse_dial(id, dial, error);
                false
            }
        }
    }

    fn refuse_dial(&mut self, id: StreamId, dial: DialId, error: String) {
        self.mux.remove(id);
        let error = if error.is_empty() {
            "dial failed".to_owned()
        } else {
            error
        };
        self.mux.send_control(Packet::dial_failed(dial, error));
    }

    /// Bytes read from an endpoint.
    pub fn handle_endpoint_data(&mut self, id: StreamId, data: Bytes) {
        self.mux.push(id, data);
    }

    /// Whether an endpoint may be read: its stream is open and its queue has room.
    #[must_use]
    pub fn wants_endpoint_data(&self, id: StreamId) -> bool {
        self.mux.wants_push(id)
    }

    /// The endpoint ended its side: `Ok` on EOF, an error in words when reading failed.
    ///
    /// Everything read before is delivered before the close. What the frontend has sent already is still
    /// written to the endpoint.
    /// With `half-close/1` an EOF ends this direction alone, unless writing has failed before.
    pub fn handle_endpoint_end(&mut self, now: Instant, id: StreamId, end: Result<(), String>) {
        // A reset is told once only: to whom it met while writing, it looks like an end to who reads.
        let write_failed = self
            .mux
            .stream_mut(id)
            .and_then(|stream| stream.state.write_failed.take());
        let end = end.and(write_failed.map_or(Ok(()), Err));
        if end.is_ok() && self.negotiated.half_close && self.end_writing(now, id) {
            return;
        }
        let (reason, error) = match end {
            Ok(()) => (CloseReason::EndpointClosed, String::new()),
            Err(error) => (CloseReason::EndpointFailed(error.clone()), error),
        };
        self.close(now, id, reason, error);
    }

    /// An endpoint's EOF on an open stream; `false` for any other stream.
    fn end_writing(&mut self, now: Instant, id: StreamId) -> bool {
        let Some(stream) = self.mux.stream_mut(id) else {
            return false;
        };
        if !matches!(stream.state.phase, Phase::Open) {
            return false;
        }
        let connect_id = stream.connect_id();
        stream.state.endpoint_ended = true;
        let both = stream.state.frontend_ended;
        self.mux
            .finish_writing(id, Packet::CloseWrite { connect_id });
        if both {
            self.end_both(now, id, CloseReason::EndpointClosed);
            self.mux.wake(id);
        }
        true
    }

    /// Writing to the endpoint failed: what still comes for it is dropped, and no more is asked for.
    ///
    /// The stream goes on until the endpoint's own side ends, since what it sent before may still be read; then, or
    /// now if that has ended, the stream ends with this error.
    pub fn handle_endpoint_write_failed(&mut self, now: Instant, id: StreamId, error: String) {
        self.mux.refuse_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        if stream.state.endpoint_ended && matches!(stream.state.phase, Phase::Open) {
            self.close(now, id, CloseReason::EndpointFailed(error.clone()), error);
        } else {
            stream.state.write_failed.get_or_insert(error);
        }
    }

    /// What an endpoint's task is to do next; `None` until the link wakes it.
    ///
    /// After `Close` and `Abort` the task does as told and then reports with [`Link::handle_endpoint_gone`].
    pub fn poll_endpoint(&mut self, now: Instant, id: StreamId) -> Option<EndpointOutput> {
        if self.is_aborted(id) {
            return Some(EndpointOutput::Abort);
        }
        if let Some(data) = self.mux.take(now, id) {
            return Some(EndpointOutput::Write(data));
        }
        let state = &mut self.mux.stream_mut(id)?.state;
        match state.phase {
            Phase::Closing => Some(EndpointOutput::Close),
            Phase::Open if state.frontend_ended => {
                let told = std::mem::replace(&mut state.shutdown_told, true);
                (!told).then_some(EndpointOutput::Shutdown)
            }
            Phase::Open | Phase::Dialing { .. } => None,
        }
    }

    /// Whether an endpoint's task is to cut its connection now, even in the middle of a write.
    #[must_use]
    pub fn is_aborted(&self, id: StreamId) -> bool {
        self.mux.stream(id).is_none_or(|stream| stream.state.cut)
    }

    /// The endpoint's task has let go of its connection: as it was told to, or on its own, which ends the stream
    /// with an error.
    pub fn handle_endpoint_gone(&mut self, now: Instant, id: StreamId) {
        self.mux.discard_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        stream.state.endpoint_done = true;
        match stream.state.phase {
            Phase::Dialing { dial, .. } => {
                self.dials.remove(&dial);
                self.refuse_dial(id, dial, "agent gave the dial up".to_owned());
            }
            Phase::Open => self.close(
                now,
                id,
                CloseReason::AgentGaveUp,
                CloseReason::AgentGaveUp.to_string(),
            ),
            Phase::Closing => {}
        }
        self.remove_if_done(id);
    }
}
