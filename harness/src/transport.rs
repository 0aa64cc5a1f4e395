//! One connection between an agent and the server, and what each end does with it.

use std::time::{Duration, Instant};

use dialback_core::Packet;

use crate::agent::AgentEnd;
use crate::pipe::PipeConfig;
use crate::server::ServerEnd;
use crate::setup::Agreed;
use crate::wire::{PacketWire, Received};

/// The wires of one Connect stream.
#[derive(Debug)]
pub(crate) struct Transport {
    /// From the server to the agent.
    pub(crate) down: PacketWire,
    /// From the agent to the server.
    pub(crate) up: PacketWire,
}

/// How a transport is lost: nothing that is sent from now on arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Of the bytes under way to the agent, how many still arrive.
    pub kept_down: usize,
    /// Of the bytes under way to the server, how many still arrive.
    pub kept_up: usize,
    /// After how long the server hears of it; `None` for never.
    pub server_notices: Option<Duration>,
    /// After how long the agent hears of it; `None` for never.
    pub agent_notices: Option<Duration>,
}

impl Cut {
    /// Everything under way is lost, and both ends hear of it at once.
    pub const CLEAN: Self = Self {
        kept_down: 0,
        kept_up: 0,
        server_notices: Some(Duration::ZERO),
        agent_notices: Some(Duration::ZERO),
    };
}

impl Transport {
    pub(crate) fn new(pipes: &PipeConfig, agreed: Agreed) -> Self {
        Self {
            down: PacketWire::new(pipes.clone(), agreed),
            up: PacketWire::new(pipes.clone(), agreed),
        }
    }

    pub(crate) fn cut(&mut self, now: Instant, cut: &Cut) {
        self.down.cut(now, cut.kept_down, cut.agent_notices);
        self.up.cut(now, cut.kept_up, cut.server_notices);
    }

    /// The server lets go of it.
    pub(crate) fn server_leaves(&mut self, now: Instant) {
        leave(now, &mut self.up, &mut self.down);
    }

    /// The agent lets go of it.
    pub(crate) fn agent_leaves(&mut self, now: Instant) {
        leave(now, &mut self.down, &mut self.up);
    }

    pub(crate) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let arrivals = [
            self.up.pipe.next_arrival(now),
            self.down.pipe.next_arrival(now),
        ];
        arrivals.into_iter().flatten().min()
    }
}

fn leave(now: Instant, inbound: &mut PacketWire, outbound: &mut PacketWire) {
    inbound.pipe.break_off();
    outbound.pipe.reset(now);
}

/// What both ends have in common for a driver.
pub(crate) trait End {
    fn is_up(&self) -> bool;
    fn wants_read(&self) -> bool;
    fn has_transmit(&self) -> bool;
    fn take(&mut self, now: Instant, packet: Packet);
    fn give(&mut self, now: Instant) -> Option<Packet>;
    fn lose(&mut self, now: Instant);
}

/// What came of an end's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Idle,
    Moved,
    /// The end has left its transport.
    Left,
}

/// One packet each way, as far as the end and the wires let them; or the end of it all.
pub(crate) fn turn(
    now: Instant,
    end: &mut impl End,
    inbound: &mut PacketWire,
    outbound: &mut PacketWire,
) -> Turn {
    let mut moved = Turn::Idle;
    if end.is_up() && end.wants_read() {
        match inbound.receive(now) {
            Some(Received::Packet(packet)) => {
                end.take(now, packet);
                moved = Turn::Moved;
            }
            Some(Received::End(_)) => end.lose(now),
            None => {}
        }
    } else if end.is_up() && inbound.is_reset(now) {
        // A connection that breaks is noticed even unread.
        end.lose(now);
    }
    if !end.is_up() {
        leave(now, inbound, outbound);
        return Turn::Left;
    }
    if outbound.has_room()
        && end.has_transmit()
        && let Some(packet) = end.give(now)
    {
        outbound.send(now, packet);
        moved = Turn::Moved;
    }
    moved
}

macro_rules! end {
    ($end:ty) => {
        impl End for $end {
            fn is_up(&self) -> bool {
                self.link.is_up()
            }

            fn wants_read(&self) -> bool {
                self.link.wants_read()
            }

            fn has_transmit(&self) -> bool {
                self.link.has_transmit()
            }

            fn take(&mut self, now: Instant, packet: Packet) {
                self.input(|link| link.handle_packet(now, packet));
            }

            fn give(&mut self, now: Instant) -> Option<Packet> {
                self.input(|link| link.poll_transmit(now))
            }

            fn lose(&mut self, now: Instant) {
                self.input(|link| link.handle_lost(now));
            }
        }
    };
}

end!(ServerEnd);
end!(AgentEnd);
