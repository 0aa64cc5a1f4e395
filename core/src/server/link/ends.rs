//! How dials and streams end.

use std::time::Instant;

use super::state::Phase;
use super::{Link, LinkEvent};
use crate::close::CloseReason;
use crate::ids::{ConnectId, StreamId};
use crate::server::dial::{DialError, StreamOutput};
use crate::wire::Packet;

impl Link {
    pub(super) fn is_open(&self, id: StreamId) -> bool {
        self.mux
            .stream(id)
            .is_some_and(|stream| matches!(stream.state.phase, Phase::Open { .. }))
    }

    pub(super) fn fail_dial(&mut self, id: StreamId, error: DialError) {
        self.events.push_back(LinkEvent::DialEnded);
        self.events
            .push_back(LinkEvent::DialFailed(error.failure()));
        self.mux.set_deadline(id, None);
        if let Some(stream) = self.mux.stream_mut(id) {
            stream.state.phase = Phase::dial_failed(error);
            self.mux.wake(id);
        }
    }

    /// Ends one stream whose peer knows nothing of it yet: the agent is told, the frontend too.
    pub(super) fn reset(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.mux.discard_received(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        if let Phase::Ended(ended) = &mut stream.state.phase {
            // What arrived before the end is dropped now, so the end is no orderly one any more.
            ended.output = StreamOutput::Closed(reason);
            return self.mux.wake(id);
        }
        let connect_id = stream.connect_id();
        if self.negotiated.reset {
            self.mux.send_control(reset(connect_id, &reason));
        } else if !stream.send.is_closed() {
            self.mux.send_control(Packet::CloseRequest { connect_id });
        }
        self.end(now, id, reason);
    }

    /// The agent knows the stream no more; the frontend still takes what arrived, then the reason.
    pub(super) fn end(&mut self, now: Instant, id: StreamId, reason: CloseReason) {
        self.mux.set_deadline(id, None);
        self.mux.close_outgoing(id);
        self.mux.release_connect_id(id);
        let Some(stream) = self.mux.stream_mut(id) else {
            return;
        };
        let answer_taken = match stream.state.phase {
            Phase::Open { answer_taken } => answer_taken,
            Phase::Dialing(_) => true,
            Phase::Ended(_) => return,
        };
        let untold_answer = if answer_taken {
            None
        } else {
            stream.connect_id()
        };
        let lived = now - stream.state.opened.unwrap_or(now);
        let attached = stream.state.attached;
        stream.state.phase = Phase::closed(untold_answer, reason.clone());
        self.events.push_back(LinkEvent::Closed {
            stream: id,
            connect_id: stream.connect_id(),
            lived,
            reason,
        });
        if attached {
            self.mux.wake(id);
        } else {
            self.mux.remove(id);
        }
    }
}

/// The end that counts: what the frontend asked for, unless the agent says that it did not end well.
pub(super) fn stream_end(asked: Option<CloseReason>, reason: CloseReason) -> CloseReason {
    match asked {
        Some(asked) if reason.is_orderly() || !asked.is_orderly() => asked,
        Some(_) | None => reason,
    }
}

pub(super) fn reset(connect_id: Option<ConnectId>, reason: &CloseReason) -> Packet {
    Packet::Reset {
        connect_id,
        code: reason.code(),
        text: reason.to_string(),
    }
}
