//! Listening, connecting and closing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::agenda::Happening;
use super::connection::{Connection, ConnectionId, End, Flow, Life, Load, Side, Sides};
use super::host_state::{HostId, Place};
use super::listener::Backlog;
use crate::event_log::Event;
use crate::world::World;

/// How often an unanswered SYN is sent again (`tcp_syn_retries`); the wait doubles each time, from a second.
const SYN_RETRIES: u32 = 6;

impl World {
    pub(crate) fn listen_tcp(
        &mut self,
        host: HostId,
        mut address: SocketAddr,
        backlog: usize,
    ) -> io::Result<Place> {
        let state = &mut self.hosts[host.index()];
        if address.ip().is_unspecified() || address.ip().is_loopback() {
            address.set_ip(state.ip);
        }
        if address.ip() != state.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if address.port() == 0 {
            address.set_port(state.free_port());
        }
        let place = Place::Tcp(address);
        self.listen(place.clone(), backlog)?;
        Ok(place)
    }

    pub(crate) fn listen(&mut self, place: Place, backlog: usize) -> io::Result<()> {
        if self.listeners.contains_key(&place) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.listeners.insert(place, Backlog::new(backlog));
        Ok(())
    }

    /// Nobody accepts any more: who waits to be accepted is turned away.
    pub(crate) fn stop_listening(&mut self, place: &Place) {
        let Some(backlog) = self.listeners.remove(place) else {
            return;
        };
        for id in backlog.waiting {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.ends[Side::Server].reset_on_close = true;
                self.close(id, Side::Server);
            }
        }
    }

    pub(crate) fn connect(&mut self, from: HostId, place: Place) -> ConnectionId {
        let place = self.balanced(from, place);
        let to = self.host_of(&place);
        let state = &mut self.hosts[from.index()];
        let here = match &place {
            Place::Tcp(_) => Place::Tcp(SocketAddr::new(state.ip, state.free_port())),
            Place::Unix(..) => place.clone(),
        };
        let buffer = |paths: &mut super::Paths, from, to| paths.get(from, to).config.buffer_bytes;
        let flows = Sides([
            Flow::new(buffer(&mut self.paths, from, to)),
            Flow::new(buffer(&mut self.paths, to, from)),
        ]);
        let mut client = End::new(from, here, Life::Connecting);
        client.held = true;
        let connection = Connection {
            ends: Sides([client, End::new(to, place, Life::Absent)]),
            flows,
            forgotten_since: None,
            asked: 0,
        };
        self.opened += 1;
        let id = ConnectionId(self.opened);
        self.connections.insert(id, connection);
        self.log(Event::Connects(id, from, to));
        self.ask_again(id);
        id
    }

    /// Asks for a connection, unless it was answered or has been asked for too often.
    pub(super) fn ask_again(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.ends[Side::Client].life != Life::Connecting {
            return;
        }
        if connection.asked > SYN_RETRIES {
            return self.give_up(id, Side::Client);
        }
        let again = self.now + Duration::from_secs(1 << connection.asked);
        connection.asked += 1;
        // One that is held back counts for all.
        if connection.flows[Side::Client].parcels.is_empty() {
            self.send(id, Side::Client, Load::Syn);
        }
        self.agenda.add(again, Happening::SynAgain(id));
    }

    /// A SYN has arrived.
    pub(super) fn asked(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = &mut connection.ends[Side::Server];
        let Some(backlog) = self.listeners.get_mut(&end.place) else {
            return self.send(id, Side::Server, Load::Refusal);
        };
        // A full queue says nothing (`tcp_abort_on_overflow` of 0).
        if backlog.push(id) {
            end.life = Life::Open;
            self.send(id, Side::Server, Load::SynAck);
        }
    }

    /// The socket is dropped.
    pub(crate) fn close(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let end = &mut connection.ends[side];
        end.held = false;
        (end.reader, end.writer) = (None, None);
        let unread = !connection.flows[side.other()].received.is_empty();
        match end.life {
            Life::Connecting => {
                end.life = Life::Dead;
                self.send(id, side, Load::Reset);
            }
            Life::Open if unread || end.reset_on_close => {
                end.life = Life::Dead;
                // What has left has left, the rest is thrown away.
                let now = self.now;
                let parcels = &mut connection.flows[side].parcels;
                parcels.retain(|parcel| parcel.departs <= now);
                self.send(id, side, Load::Reset);
            }
            Life::Open => {
                end.life = Life::Closed;
                if !end.finished {
                    self.send(id, side, Load::Fin);
                }
            }
            Life::Absent | Life::Closed | Life::Dead => {}
        }
        self.forget_if_over(id);
    }

    pub(crate) fn socket_count(&self, host: HostId) -> usize {
        let ends = self.connections.values().flat_map(|it| &it.ends.0);
        ends.filter(|end| end.host == host && end.held).count()
    }

    fn balanced(&mut self, from: HostId, place: Place) -> Place {
        let Place::Tcp(mut address) = place else {
            return place;
        };
        if let Some(targets) = self.balancers.get(&address) {
            // A balancer without targets is nobody.
            return self
                .rng
                .choice(targets)
                .map_or(Place::Tcp(address), |target| Place::Tcp(*target));
        }
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            address.set_ip(self.hosts[from.index()].ip);
        }
        Place::Tcp(address)
    }

    fn host_of(&self, place: &Place) -> HostId {
        match place {
            Place::Unix(host, _) => *host,
            Place::Tcp(address) => self.host_at(address.ip()).unwrap_or(HostId::NOWHERE),
        }
    }

    fn host_at(&self, ip: IpAddr) -> Option<HostId> {
        let index = self.hosts.iter().position(|host| host.ip == ip)?;
        Some(HostId::new(index))
    }
}
