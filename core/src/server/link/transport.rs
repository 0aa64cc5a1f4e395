//! The transport: lost, resumed, ended.

use std::time::Instant;

use super::{Link, LinkEvent};
use crate::close::CloseReason;
use crate::server::dial::DialError;
use crate::session::SessionError;
use crate::wire::Packet;

impl Link {
    /// The agent's stream has ended in order, or the tunnel is given up: every pending dial fails at once, every
    /// stream ends after the data that arrived before.
    pub fn handle_down(&mut self, now: Instant) {
        self.end_all(now, CloseReason::TunnelLost);
    }

    /// As [`Link::handle_down`], with the reason that the streams end with.
    pub fn handle_ended(&mut self, now: Instant, reason: CloseReason) {
        self.end_all(now, reason);
    }

    /// The transport was lost. With `resume/1`, and something to keep, the link waits for another one for
    /// [`SessionConfig::timeout`](crate::SessionConfig::timeout), and its streams do too; otherwise the link is
    /// down.
    pub fn handle_lost(&mut self, now: Instant) {
        let worthless = self.mux.is_empty() && self.session.retained_bytes() == 0;
        if worthless || !self.session.suspend(now) {
            self.end_all(now, CloseReason::TunnelLost);
        } else {
            self.events.push_back(LinkEvent::Suspended);
        }
    }

    /// The tunnel is established on its first transport: the peer is watched from now on.
    pub fn handle_established(&mut self, now: Instant) {
        self.session.heard_at_first(now);
    }

    /// Another transport has come, over which the agent says that it took `received` packets. The one before, if
    /// it still stands, is the driver's to end; nothing that comes of it may reach the link any more.
    ///
    /// Returns how many packets this side took, which the agent is to be told.
    ///
    /// # Errors
    ///
    /// When the session has ended, or the count cannot be; the link is as it was.
    pub fn handle_resumed(&mut self, now: Instant, received: u64) -> Result<u64, SessionError> {
        self.session.resume(now, received)?;
        self.events.push_back(LinkEvent::Resumed);
        Ok(self.session.received())
    }

    /// Announces that this server is about to stop, so that the agent looks for another while this one still serves.
    /// Only an agent that knows `drain/1` is told; once.
    pub fn drain(&mut self) {
        if self.negotiated.drain && !self.session.is_down() && !self.announced {
            self.announced = true;
            self.mux.send_control(Packet::Drain);
        }
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

    /// Whether the link has ended: nothing it does reaches the agent any more.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.session.is_down()
    }

    /// Bytes that are kept until the agent acknowledges them.
    #[must_use]
    pub fn retained_bytes(&self) -> usize {
        self.session.retained_bytes()
    }

    pub(super) fn end_all(&mut self, now: Instant, reason: CloseReason) {
        if self.session.is_down() {
            return;
        }
        self.session.end();
        self.dials.clear();
        self.strangers.clear();
        self.mux.shut();
        for id in self.mux.ids() {
            if self
                .mux
                .stream(id)
                .is_some_and(|stream| stream.state.phase.is_dialing())
            {
                self.fail_dial(id, DialError::AgentLost);
            } else {
                self.end(now, id, reason.clone());
            }
        }
        self.events.push_back(LinkEvent::Down(reason));
    }
}
