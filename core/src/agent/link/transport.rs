//! The transport: lost, resumed, ended.

use std::time::Instant;

use super::state::Phase;
use super::{Link, LinkEvent};
use crate::close::CloseReason;
use crate::load::LinkLoad;
use crate::session::SessionError;
use crate::wire::Packet;

impl Link {
    /// The stream to the server has ended, or the tunnel is given up: dials are given up and endpoint connections
    /// cut.
    pub fn handle_down(&mut self, now: Instant) {
        self.end_all(now, CloseReason::TunnelLost);
    }

    /// As [`Link::handle_down`], with the reason that the streams end with.
    pub fn handle_ended(&mut self, now: Instant, reason: CloseReason) {
        self.end_all(now, reason);
    }

    /// The transport was lost. With `resume/1` the link waits for another one for
    /// [`SessionConfig::timeout`](crate::SessionConfig::timeout), while endpoints stay connected; otherwise it is
    /// down.
    pub fn handle_lost(&mut self, now: Instant) {
        if self.session.suspend(now) {
            self.events.push_back(LinkEvent::Suspended);
        } else {
            self.end_all(now, CloseReason::TunnelLost);
        }
    }

    /// The tunnel is established on its first transport: the peer is watched from now on.
    pub fn handle_established(&mut self, now: Instant) {
        self.session.heard_at_first(now);
    }

    /// Another transport has come, over which the server says that it took `received` packets.
    ///
    /// # Errors
    ///
    /// When the session has ended, or the count cannot be; the link is as it was.
    pub fn handle_resumed(&mut self, now: Instant, received: u64) -> Result<(), SessionError> {
        self.session.resume(now, received)?;
        self.events.push_back(LinkEvent::Resumed);
        Ok(())
    }

    /// How many packets this side took: what the server is told with a resumption.
    #[must_use]
    pub fn received_packets(&self) -> u64 {
        self.session.received()
    }

    /// Whether the link has a transport. Where it ceases to without [`Link::handle_lost`] or [`Link::handle_down`],
    /// the driver is to end the one it has.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.session.is_up()
    }

    /// Whether the link has no transport and waits for another.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.session.is_suspended()
    }

    /// Whether the link has ended: nothing it does reaches the server any more.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.session.is_down()
    }

    /// Bytes that are kept until the server acknowledges them.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.session.retained_bytes()
    }

    /// What the link holds now; `None` once it has ended.
    #[must_use]
    pub fn load(&self) -> Option<LinkLoad> {
        (!self.is_down()).then(|| LinkLoad {
            pending_dials: self.dials.len(),
            ..self.session.load(self.mux.load())
        })
    }

    pub(super) fn end_all(&mut self, now: Instant, reason: CloseReason) {
        if self.session.is_down() {
            return;
        }
        self.session.end();
        for id in std::mem::take(&mut self.dials).into_values() {
            self.mux.remove(id);
            self.events
                .push_back(LinkEvent::DialAbandoned { stream: id });
        }
        self.mux.shut();
        for id in self.mux.ids() {
            if self
                .mux
                .stream(id)
                .is_some_and(|stream| matches!(stream.state.phase, Phase::Open))
            {
                self.cut(now, id, reason.clone());
            } else if !self.mux.has_deadline(id) {
                // A stream that was closed in order before still writes out what it was given.
                self.await_progress(now, id);
            }
            self.remove_if_done(id);
        }
        self.events.push_back(LinkEvent::Down);
    }

    /// Announces that this agent wants no new dials where another can serve them.
    pub fn drain(&mut self) {
        if !self.session.is_down() {
            self.mux.send_control(Packet::Drain);
        }
    }
}
