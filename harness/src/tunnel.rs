//! One agent's tunnel: both ends and the wires between them.

use std::time::Instant;

use dialback_core::LinkId;
use dialback_core::server::StreamRef;

use crate::agent::AgentEnd;
use crate::endpoint::Endpoints;
use crate::server::ServerEnd;
use crate::wire::{PacketWire, Received};

/// A Connect stream with its link at either end.
#[derive(Debug)]
pub struct Tunnel {
    /// The server's end.
    pub server: ServerEnd,
    /// The agent's end.
    pub agent: AgentEnd,
    /// From the server to the agent.
    pub down: PacketWire,
    /// From the agent to the server.
    pub up: PacketWire,
    /// When the agent notices that the connection is lost.
    pub(crate) agent_notices: Option<Instant>,
}

impl Tunnel {
    /// Moves packets as far as both ends and both wires let them; true when something moved.
    pub(crate) fn run(&mut self, now: Instant, endpoints: &mut Endpoints) -> bool {
        let mut moved = self.expire(now);
        if !self.server.down {
            moved |= self.server_turn(now);
        }
        if !self.agent.down {
            moved |= self.agent_turn(now);
        }
        moved | self.agent.run(now, endpoints)
    }

    fn expire(&mut self, now: Instant) -> bool {
        let mut moved = false;
        if self.agent_notices.is_some_and(|at| at <= now) {
            self.agent_notices = None;
            self.agent.down = true;
            self.agent.input(|link| link.handle_down(now));
            moved = true;
        }
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.server.link.poll_timeout()) {
            self.server.input(|link| link.handle_timeout(now));
            moved = true;
        }
        if due(self.agent.link.poll_timeout()) {
            self.agent.input(|link| link.handle_timeout(now));
            moved = true;
        }
        moved
    }

    fn server_turn(&mut self, now: Instant) -> bool {
        let mut moved = false;
        if self.server.link.wants_read()
            && let Some(Received::Packet(packet)) = self.up.receive(now)
        {
            self.server.input(|link| link.handle_packet(now, packet));
            moved = true;
        }
        if self.down.has_room()
            && self.server.link.has_transmit()
            && let Some(packet) = self.server.input(|link| link.poll_transmit(now))
        {
            self.down.send(now, packet);
            moved = true;
        }
        moved
    }

    fn agent_turn(&mut self, now: Instant) -> bool {
        let mut moved = false;
        if self.agent.link.wants_read()
            && let Some(Received::Packet(packet)) = self.down.receive(now)
        {
            self.agent.input(|link| link.handle_packet(now, packet));
            moved = true;
        }
        if self.up.has_room()
            && self.agent.link.has_transmit()
            && let Some(packet) = self.agent.input(|link| link.poll_transmit(now))
        {
            self.up.send(now, packet);
            moved = true;
        }
        moved
    }

    pub(crate) fn next_event(&self, now: Instant) -> Option<Instant> {
        [
            self.agent_notices,
            self.server.link.poll_timeout(),
            self.agent.link.poll_timeout(),
            self.agent.next_answer(),
            self.up.pipe.next_arrival(now),
            self.down.pipe.next_arrival(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// All tunnels of the server, the lost ones too.
#[derive(Debug, Default)]
pub(crate) struct Tunnels(Vec<Tunnel>);

impl Tunnels {
    pub(crate) fn add(&mut self, tunnel: Tunnel) -> LinkId {
        self.0.push(tunnel);
        LinkId(self.0.len() as u64 - 1)
    }

    pub(crate) fn get(&mut self, link: LinkId) -> &mut Tunnel {
        &mut self.0[usize::try_from(link.0).expect("links are numbered from zero")]
    }

    /// The server's end of the tunnel that carries a stream.
    pub(crate) fn server(&mut self, at: StreamRef) -> &mut ServerEnd {
        &mut self.get(at.link).server
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkId, &Tunnel)> {
        (0..).map(LinkId).zip(&self.0)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Tunnel)> {
        (0..).map(LinkId).zip(&mut self.0)
    }
}
