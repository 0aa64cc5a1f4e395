//! Parcels on their way.

use std::time::Duration;

use super::agenda::Happening;
use super::connection::{ConnectionId, Life, Load, Parcel, Side};
use super::failure::Failure;
use crate::event_log::Event;
use crate::world::World;

/// How long data is sent again where no `TCP_USER_TIMEOUT` is set (`tcp_retries2` of 15).
const LAST_RETRY: Duration = Duration::from_secs(924);
/// Probes of keep-alive that may stay unanswered (`tcp_keepalive_probes`).
const KEEPALIVE_PROBES: u32 = 9;

impl World {
    pub(crate) fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival(id, from) => self.arrive(id, from),
            Happening::SynAgain(id) => self.ask_again(id),
            Happening::Probed(id, side) => self.probed(id, side),
            Happening::GivesUp(id, side, since) => match self.severed_since(id) {
                Some(now) if now == since => self.give_up(id, side),
                // It was in reach meanwhile, and the wait began anew.
                Some(again) => {
                    let at = again.max(since) + (self.now - since);
                    let gives_up = Happening::GivesUp(id, side, again);
                    self.agenda.add(at.max(self.now), gives_up);
                }
                None => {}
            },
        }
    }

    /// Sends something, unless the host has no power.
    pub(crate) fn send(&mut self, id: ConnectionId, from: Side, load: Load) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let (here, there) = (
            connection.ends[from].host,
            connection.ends[from.other()].host,
        );
        if self.hosts[here.index()].down_since.is_some() {
            return;
        }
        let path = self.paths.get(here, there);
        let departs = self.now.max(path.free_at);
        if let Load::Data(data) = &load {
            let nanos = data.len() as u64 * 1_000_000_000 / path.config.bytes_per_second.max(1);
            path.free_at = departs + Duration::from_nanos(nanos);
        }
        let jitter = path.config.jitter.as_nanos().try_into().unwrap_or(u64::MAX);
        let jitter = Duration::from_nanos(self.rng.u64(0..=jitter));
        let arrives = path.free_at.max(departs) + path.config.latency + jitter;
        let flow = &mut connection.flows[from];
        let arrives = arrives.max(flow.parcels.back().map_or(arrives, |last| last.arrives));
        let kind = load.kind();
        flow.parcels.push_back(Parcel {
            departs,
            arrives,
            load,
        });
        self.agenda.add(arrives, Happening::Arrival(id, from));
        self.log(Event::Sends(id, from, kind));
    }

    fn arrive(&mut self, id: ConnectionId, from: Side) {
        loop {
            let severed = self.severed_since(id);
            let blocked = self.is_blocked(id, from);
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            let parcels = &mut connection.flows[from].parcels;
            if parcels.front().is_none_or(|first| first.arrives > self.now) {
                return;
            }
            if blocked {
                let limit = connection.ends[from].user_timeout.unwrap_or(LAST_RETRY);
                if let Some(since) = severed {
                    let at = self.now + limit;
                    self.agenda.add(at, Happening::GivesUp(id, from, since));
                }
                return;
            }
            let Some(parcel) = parcels.pop_front() else {
                return;
            };
            self.log(Event::Arrives(id, from, parcel.load.kind()));
            self.deliver(id, from.other(), parcel.load);
            self.forget_if_over(id);
        }
    }

    /// What was held back arrives a latency from now.
    pub(crate) fn arrive_later(&mut self, id: ConnectionId, from: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let (here, there) = (
            connection.ends[from].host,
            connection.ends[from.other()].host,
        );
        let earliest = self.now + self.paths.get(here, there).config.latency;
        for parcel in &mut connection.flows[from].parcels {
            parcel.arrives = parcel.arrives.max(earliest);
            let arrival = Happening::Arrival(id, from);
            self.agenda.add(parcel.arrives, arrival);
        }
    }

    fn deliver(&mut self, id: ConnectionId, to: Side, load: Load) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = &mut connection.ends[to];
        let life = end.life;
        match load {
            Load::Syn if life == Life::Absent => self.asked(id),
            Load::Syn => {}
            Load::SynAck => {
                if life == Life::Connecting {
                    end.life = Life::Open;
                    end.wake();
                }
            }
            Load::Refusal => {
                if life == Life::Connecting {
                    end.die(Some(Failure::Refused));
                }
            }
            Load::Data(data) => {
                if life == Life::Open {
                    connection.flows[to.other()].received.extend(&data);
                    end.wake();
                } else {
                    end.life = Life::Dead;
                    self.send(id, to, Load::Reset);
                }
            }
            Load::Fin => match life {
                Life::Open => {
                    connection.flows[to.other()].ended = true;
                    end.wake();
                }
                Life::Closed | Life::Absent => {}
                Life::Connecting | Life::Dead => self.send(id, to, Load::Reset),
            },
            Load::Reset => {
                if life != Life::Dead {
                    end.die(Some(Failure::Reset));
                }
            }
            Load::Room(bytes) => {
                let flow = &mut connection.flows[to];
                flow.used_bytes = flow.used_bytes.saturating_sub(bytes);
                end.wake();
            }
        }
    }

    /// Nothing that `from` sends gets through now.
    pub(crate) fn is_blocked(&self, id: ConnectionId, from: Side) -> bool {
        self.connections.get(&id).is_some_and(|connection| {
            let (here, there) = (
                connection.ends[from].host,
                connection.ends[from.other()].host,
            );
            connection.is_forgotten()
                || self.hosts[there.index()].down_since.is_some()
                || self.paths.blocked_since(here, there).is_some()
        })
    }

    /// Since when an end could know that something is wrong: what it sends, or what comes back, gets lost.
    fn severed_since(&self, id: ConnectionId) -> Option<Duration> {
        let connection = self.connections.get(&id)?;
        let [client, server] = [Side::Client, Side::Server].map(|side| connection.ends[side].host);
        let causes = [
            connection.forgotten_since,
            self.hosts[client.index()].down_since,
            self.hosts[server.index()].down_since,
            self.paths.blocked_since(client, server),
            self.paths.blocked_since(server, client),
        ];
        causes.into_iter().flatten().min()
    }

    /// Something has just happened to the connection that its ends may not know of: keep-alive finds out in its time.
    pub(crate) fn probe(&mut self, id: ConnectionId) {
        let severed = self.severed_since(id);
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        for side in Side::BOTH {
            let end = &connection.ends[side];
            let Some(interval) = end.keepalive.filter(|_| end.life == Life::Open) else {
                continue;
            };
            if let Some(since) = severed {
                // With a user timeout it is that which ends the probing (tcp(7)).
                let probing = end.user_timeout.unwrap_or(interval * KEEPALIVE_PROBES);
                let at = self.now + interval + probing;
                self.agenda.add(at, Happening::GivesUp(id, side, since));
            } else if connection.ends[side.other()].life == Life::Dead {
                let at = self.now + interval;
                self.agenda.add(at, Happening::Probed(id, side));
            }
        }
    }

    /// An end that knows of no connection answers a probe with a reset.
    fn probed(&mut self, id: ConnectionId, side: Side) {
        let severed = self.severed_since(id).is_some();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let unknown = connection.ends[side.other()].life == Life::Dead;
        let end = &mut connection.ends[side];
        let Some(interval) = end.keepalive.filter(|_| unknown && end.life == Life::Open) else {
            return;
        };
        if severed {
            let probed = Happening::Probed(id, side);
            self.agenda.add(self.now + interval, probed);
        } else {
            end.die(Some(Failure::Reset));
        }
    }

    pub(crate) fn give_up(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = &mut connection.ends[side];
        if !matches!(end.life, Life::Absent | Life::Dead) {
            end.die(Some(Failure::TimedOut));
            connection.flows[side].parcels.clear();
            self.log(Event::TimesOut(id, side));
            self.probe(id);
        }
        self.forget_if_over(id);
    }

    pub(crate) fn forget_if_over(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|it| it.is_over()) {
            self.connections.remove(&id);
        }
    }
}
