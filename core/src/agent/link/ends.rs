//! How streams end.

use std::time::Instant;

use super::state::Phase;
use super::{Link, LinkEvent};
use crate::close::CloseReason;
use crate::ids::{ConnectId, StreamId};
use crate::wire::Packet;

impl Link {
    /// Ends a stream in order: CLOSE_RSP goes behind everything read, the endpoint gets everything received.
    ///
    /// A reader that pauses may let CLOSE_RSP wait as long as it is there: the server says when it is not.
    pub(super) fn close(&mut self, now: Instant, id: StreamId, reason: CloseReason, error: String) {
        if let connect_id @ Some(_) = self.begin_closing(now, id, reason) {
            self.mux
                .finish(id, Packet::CloseResponse { connect_id, error });
            self.mux.wake(id);
        }
    }

    /// Ends a stream at once: queues are dropped, the server is told, the endpoint sees a reset.
    pub(super) fn reset(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        let Some(stream) = self.mux.stream(id) else {
            return;
        };
        let connect_id = stream.connect_id();
        if !stream.send.is_closed() {
            self.mux.close_outgoing(id);
            let text = reason.to_string();
            self.mux.send_control(if self.negotiated.reset {
                Packet::Reset {
                    connect_id,
                    code: reason.code(),
                    text,
                }
            } else {
                Packet::CloseResponse {
                    connect_id,
                    error: text,
                }
            });
        }
        self.cut(now, id, reason);
    }

    /// Nothing more goes to or comes from the server for this stream.
    pub(super) fn cut(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.mux.set_deadline(id, None);
        self.mux.release_connect_id(id);
        self.mux.discard_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        stream.state.cut = true;
        self.begin_closing(now, id, reason);
        self.mux.wake(id);
        self.remove_if_done(id);
    }

    /// An open stream is closing from now on, which is told; its connection id, `None` for any other stream.
    pub(super) fn begin_closing(
        &mut self,
        now: Instant,
        id: StreamId,
        reason: CloseReason,
    ) -> Option<ConnectId> {
        let stream = self.mux.stream_mut(id)?;
        if !matches!(stream.state.phase, Phase::Open) {
            return None;
        }
        stream.state.phase = Phase::Closing;
        let connect_id = stream.connect_id();
        let lived = now - stream.state.opened;
        self.events.push_back(LinkEvent::Closed {
            stream: id,
            connect_id,
            lived,
            reason,
        });
        connect_id
    }

    pub(super) fn remove_if_done(&mut self, id: StreamId) {
        if self
            .mux
            .stream(id)
            .is_some_and(|stream| stream.state.endpoint_done && stream.send.is_closed())
        {
            self.mux.remove(id);
        }
    }
}
