//! What goes wrong on purpose.

use super::connection::{ConnectionId, Life, Side};
use super::failure::Failure;
use super::host_state::HostId;
use crate::world::World;

/// Who hears that a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Both ends, at once.
    Both,
    /// The host that was named first; the other one finds out when it sends something, or never.
    First,
    /// The host that was named second.
    Second,
    /// Neither: a NAT or a firewall has forgotten the connection and drops what comes.
    Neither,
}

impl World {
    pub(crate) fn block(&mut self, from: HostId, to: HostId) {
        let now = self.now;
        let path = self.paths.get(from, to);
        if path.blocked_since.is_none() {
            path.blocked_since = Some(now);
        }
        for id in self.between(from, to) {
            self.probe(id);
        }
    }

    pub(crate) fn unblock(&mut self, from: HostId, to: HostId) {
        self.paths.get(from, to).blocked_since = None;
        self.resume(|id, side, world| {
            let ends = &world.connections[&id].ends;
            (ends[side].host, ends[side.other()].host) == (from, to)
        });
    }

    pub(crate) fn cut(&mut self, one: HostId, other: HostId, told: Told) {
        for id in self.between(one, other) {
            let now = self.now;
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let hears = |host: HostId| match told {
                Told::Both => true,
                Told::First => host == one,
                Told::Second => host == other,
                Told::Neither => false,
            };
            for side in Side::BOTH {
                connection.flows[side].parcels.clear();
                let end = &mut connection.ends[side];
                let has_life = !matches!(end.life, Life::Absent | Life::Dead);
                if has_life && hears(end.host) {
                    end.die(Some(Failure::Reset));
                }
            }
            // An end that is left sends into nothing if both are; else it meets one that is dead.
            if told == Told::Neither {
                connection.forgotten_since.get_or_insert(now);
            }
            self.probe(id);
            self.forget_if_over(id);
        }
    }

    pub(crate) fn power_off(&mut self, host: HostId) {
        let now = self.now;
        self.hosts[host.index()].down_since.get_or_insert(now);
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let mut concerned = false;
            for side in Side::BOTH {
                if connection.ends[side].host == host {
                    connection.ends[side].die(None);
                    concerned = true;
                }
            }
            if concerned {
                self.probe(id);
            }
        }
    }

    pub(crate) fn power_on(&mut self, host: HostId) {
        self.hosts[host.index()].down_since = None;
        self.resume(|id, side, world| world.connections[&id].ends[side.other()].host == host);
    }

    /// Sets on its way again what was held back in these directions.
    fn resume(&mut self, is_meant: impl Fn(ConnectionId, Side, &Self) -> bool) {
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            for side in Side::BOTH {
                if is_meant(id, side, self) && !self.is_blocked(id, side) {
                    self.arrive_later(id, side);
                    self.probe(id);
                }
            }
        }
    }

    fn between(&self, one: HostId, other: HostId) -> Vec<ConnectionId> {
        let connections = self.connections.iter();
        let between = connections.filter(|(_, connection)| connection.is_between(one, other));
        between.map(|(id, _)| *id).collect()
    }
}
