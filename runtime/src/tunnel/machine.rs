//! What both ends' links have in common.

use std::fmt;
use std::time::Instant;

use dialback_core::{CloseReason, Initiator, LinkLoad, Packet, StreamId};

/// What both ends' links have in common, for the code that is written once.
pub(crate) trait Machine: fmt::Debug + Send + 'static {
    type Event: Send;

    /// Which end of the tunnel this is, and which the other.
    const SELF: Initiator;
    const PEER: Initiator;

    fn handle_packet(&mut self, now: Instant, packet: Packet);
    fn handle_lost(&mut self, now: Instant);
    fn handle_ended(&mut self, now: Instant, reason: CloseReason);
    fn is_up(&self) -> bool;
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    fn poll_transmit(&mut self, now: Instant) -> Option<Packet>;
    fn has_transmit(&self) -> bool;
    fn wants_read(&self) -> bool;
    fn poll_wake(&mut self) -> Option<StreamId>;
    fn poll_event(&mut self) -> Option<Self::Event>;
    fn load(&self) -> Option<LinkLoad>;
}

macro_rules! machine {
    ($link:ty, $event:ty, $this:expr, $peer:expr) => {
        impl Machine for $link {
            type Event = $event;

            const SELF: Initiator = $this;
            const PEER: Initiator = $peer;

            fn handle_packet(&mut self, now: Instant, packet: Packet) {
                Self::handle_packet(self, now, packet);
            }
            fn handle_lost(&mut self, now: Instant) {
                Self::handle_lost(self, now);
            }
            fn handle_ended(&mut self, now: Instant, reason: CloseReason) {
                Self::handle_ended(self, now, reason);
            }
            fn is_up(&self) -> bool {
                Self::is_up(self)
            }
            fn handle_timeout(&mut self, now: Instant) {
                Self::handle_timeout(self, now);
            }
            fn poll_timeout(&self) -> Option<Instant> {
                Self::poll_timeout(self)
            }
            fn poll_transmit(&mut self, now: Instant) -> Option<Packet> {
                Self::poll_transmit(self, now)
            }
            fn has_transmit(&self) -> bool {
                Self::has_transmit(self)
            }
            fn wants_read(&self) -> bool {
                Self::wants_read(self)
            }
            fn poll_wake(&mut self) -> Option<StreamId> {
                Self::poll_wake(self)
            }
            fn poll_event(&mut self) -> Option<$event> {
                Self::poll_event(self)
            }
            fn load(&self) -> Option<LinkLoad> {
                Self::load(self)
            }
        }
    };
}

machine!(
    dialback_core::server::Link,
    dialback_core::server::LinkEvent,
    Initiator::Server,
    Initiator::Agent
);
machine!(
    dialback_core::agent::Link,
    dialback_core::agent::LinkEvent,
    Initiator::Agent,
    Initiator::Server
);
