//! A scenario under way.

use std::time::Duration;

use dialback_core::server::{DialError, LinkEvent, ResumeRefused};
use dialback_core::{CloseReason, ConnectId, Initiator, LinkId, Packet, agent};

use super::Rules;
use super::connection::{Client, Connection};
use super::operation::Operation;
use crate::endpoint::{Behaviour, DialOutcome};
use crate::pipe::PipeConfig;
use crate::resumption::Reconnect;
use crate::setup::Setup;
use crate::triad::{Grpc, Triad};

/// Connections and agents of one scenario; further ones do not come.
const MAX_CONNECTIONS: usize = 40;
const MAX_AGENTS: usize = 4;

/// The triad and the model beside it.
#[derive(Debug)]
pub(super) struct Run {
    t: Triad,
    connections: Vec<Connection>,
    rules: Rules,
    half_close: bool,
    endpoint: PipeConfig,
}

impl Run {
    pub(super) fn new(rules: Rules, setup: Setup, endpoint: PipeConfig) -> Self {
        Self {
            rules,
            half_close: setup.half_close,
            t: setup.start_with_agent(),
            connections: Vec::new(),
            endpoint,
        }
    }

    /// One operation, and what follows at once.
    pub(super) fn step(&mut self, operation: Operation) {
        self.operate(operation);
        self.t.run_now();
        for connection in &mut self.connections {
            connection.check_always(&mut self.t);
        }
    }

    fn operate(&mut self, operation: Operation) {
        match operation {
            Operation::Dial {
                connect,
                endpoint,
                greeting_bytes,
            } => self.dial(connect, endpoint, greeting_bytes),
            Operation::DialAgain(which) => self.dial_again(which),
            Operation::ClientWrites(which, length) => self.client_writes(which, length),
            Operation::EndpointWrites(which, length) => self.endpoint_writes(which, length),
            Operation::ClientCloses(which) => self.client_closes(which),
            Operation::ClientGivesUp(which) => self.client_gives_up(which),
            Operation::ClientResets(which) => self.client_resets(which),
            Operation::EndpointCloses(which) => self.endpoint_closes(which),
            Operation::EndpointResets(which) => self.endpoint_resets(which),
            Operation::ClientReads(which, reading) => {
                if let Some(connection) = pick(&mut self.connections, which) {
                    read(&mut self.t, connection.client, reading);
                }
            }
            Operation::EndpointReads(which, reading) => {
                if let Some(connection) = pick(&mut self.connections, which)
                    && connection.is_established(&self.t)
                {
                    self.t.endpoints.at(&connection.address).read(reading);
                }
            }
            Operation::ClientTampers(which, connect_id) => self.client_tampers(which, connect_id),
            Operation::AgentConnects => {
                if self.t.links().len() < MAX_AGENTS {
                    self.t.connect_agent("agent");
                }
            }
            Operation::AgentDrains(which) => {
                let link = self.link(which);
                self.t.drain_agent(link);
            }
            Operation::TunnelLost(which, later) => {
                let link = self.link(which);
                self.t.lose_tunnel_unevenly(link, later);
            }
            Operation::TunnelCut(which, cut) => {
                let link = self.link(which);
                self.t.cut_tunnel(link, &cut);
            }
            Operation::Reconnects(which, reconnect) => {
                let link = self.link(which);
                self.t.tunnel(link).reconnect = reconnect;
            }
            Operation::OfferInVain(which, late) => {
                let link = self.link(which);
                self.t.offer_in_vain(link, late);
            }
            Operation::AgentRestarts(which) => {
                let link = self.link(which);
                if self.t.links().len() < MAX_AGENTS {
                    self.t.restart_agent(link);
                }
            }
            Operation::SessionForgotten(which) => {
                let link = self.link(which);
                self.t.forget_session(link);
            }
            Operation::TunnelStalls {
                tunnel,
                down,
                stalled,
            } => {
                let link = self.link(tunnel);
                let tunnel = self.t.tunnel(link);
                let wire = if down { tunnel.down() } else { tunnel.up() };
                wire.pipe.stall(stalled);
            }
            Operation::Wait(time) => self.t.run_for(time),
        }
    }

    fn link(&self, which: u8) -> LinkId {
        let links = self.t.links();
        links[usize::from(which) % links.len()]
    }

    // ---- dials ----

    fn next_index(&self) -> Option<u8> {
        u8::try_from(self.connections.len())
            .ok()
            .filter(|index| usize::from(*index) < MAX_CONNECTIONS)
    }

    fn dial(&mut self, connect: bool, endpoint: DialOutcome, greeting_bytes: usize) {
        let Some(index) = self.next_index() else {
            return;
        };
        let address = Connection::address(index);
        let behaviour = Behaviour {
            dial: endpoint,
            greeting: Connection::greeting(index, greeting_bytes).into(),
            pipes: self.endpoint.clone(),
            ..Behaviour::default()
        };
        self.t.endpoints.behave(&address, behaviour);
        let client = if connect {
            Client::Connect(self.t.open_connect(&address))
        } else {
            let frontend = self.t.open_grpc();
            Client::Grpc(frontend, self.t[frontend].dial(&address))
        };
        let mut connection = Connection::new(index, client, greeting_bytes);
        connection.half_closes = connect && self.half_close;
        self.connections.push(connection);
    }

    fn dial_again(&mut self, which: u8) {
        let index = self.next_index();
        let first = pick(&mut self.connections, which).map(|connection| connection.client);
        let (Some(index), Some(Client::Grpc(frontend, _))) = (index, first) else {
            return;
        };
        let address = Connection::address(index);
        let behaviour = Behaviour {
            pipes: self.endpoint.clone(),
            ..Behaviour::default()
        };
        self.t.endpoints.behave(&address, behaviour);
        let dial = self.t[frontend].dial(&address);
        // Data on one and the other closes both, so they are only counted.
        for connection in &mut self.connections {
            if matches!(connection.client, Client::Grpc(of, _) if of == frontend) {
                connection.tampered = true;
            }
        }
        let mut connection = Connection::new(index, Client::Grpc(frontend, dial), 0);
        connection.second = true;
        connection.tampered = true;
        self.connections.push(connection);
    }

    // ---- clients ----

    fn client_writes(&mut self, which: u8, length: usize) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        if connection.client_closed || connection.client_left {
            return;
        }
        let data = connection.client_bytes(length);
        match connection.client {
            Client::Grpc(frontend, dial) => self.t[frontend].write(dial, &data),
            Client::Connect(frontend) => self.t[frontend].write(&data),
        }
    }

    fn client_closes(&mut self, which: u8) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        close(&mut self.t, connection);
    }

    fn client_gives_up(&mut self, which: u8) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        match connection.client {
            Client::Connect(_) if connection.half_closes => close(&mut self.t, connection),
            Client::Connect(frontend) => {
                connection.client_left = true;
                self.t[frontend].close();
            }
            Client::Grpc(frontend, dial) if which & 64 == 0 => {
                // Without effect when it comes too late; either way nobody waits for an answer any more.
                connection.client_left |= self.t[frontend].answers(dial).is_empty();
                self.t[frontend].cancel(dial);
                if !self.t[frontend].answers(dial).is_empty() {
                    return;
                }
                // The answer may be under way, and stand.
                connection.tampered = true;
            }
            Client::Grpc(frontend, _) => {
                self.t[frontend].finish();
                self.leave(frontend);
            }
        }
    }

    /// All connections of one gRPC client have lost it.
    fn leave(&mut self, frontend: Grpc) {
        for connection in &mut self.connections {
            if matches!(connection.client, Client::Grpc(of, _) if of == frontend) {
                connection.client_left = true;
            }
        }
    }

    fn client_resets(&mut self, which: u8) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        connection.client_left = true;
        match connection.client {
            Client::Connect(frontend) => self.t.reset_connect(frontend),
            Client::Grpc(frontend, _) => {
                self.t.reset_grpc(frontend);
                self.leave(frontend);
            }
        }
    }

    fn client_tampers(&mut self, which: u8, connect_id: i64) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        let Client::Grpc(frontend, _) = connection.client else {
            return;
        };
        let connect_id = ConnectId::new(connect_id);
        let packet = if which & 128 == 0 {
            Packet::CloseRequest { connect_id }
        } else {
            Packet::Data {
                connect_id,
                data: "tampered".into(),
            }
        };
        connection.tampered = true;
        self.t[frontend].send(packet);
    }

    // ---- endpoints ----

    fn endpoint_writes(&mut self, which: u8, length: usize) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        if connection.is_established(&self.t)
            && !self.t.endpoints.at(&connection.address).has_finished()
        {
            let data = connection.endpoint_bytes(length);
            self.t.endpoints.at(&connection.address).send(&data);
        }
    }

    fn endpoint_closes(&mut self, which: u8) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        if connection.is_established(&self.t) {
            let endpoint = self.t.endpoints.at(&connection.address);
            connection.endpoint_closed |= !endpoint.has_finished();
            endpoint.finish();
        }
    }

    fn endpoint_resets(&mut self, which: u8) {
        let Some(connection) = pick(&mut self.connections, which) else {
            return;
        };
        if connection.is_established(&self.t) {
            connection.endpoint_reset = true;
            self.t.reset_endpoint(&connection.address);
        }
    }

    // ---- the end ----

    /// Those who do not read stall nobody else, at least not for ever: a new connection echoes.
    pub(super) fn probe(&mut self) {
        for link in self.t.links() {
            let tunnel = self.t.tunnel(link);
            tunnel.reconnect = Reconnect::default();
            tunnel.up().pipe.stall(false);
            tunnel.down().pipe.stall(false);
        }
        // Long enough for a plain peer's slow streams to be cut one after the other.
        self.t.run_for(Duration::from_secs(600));
        let echo = Behaviour {
            echo: true,
            ..Behaviour::default()
        };
        self.t.endpoints.behave("probe:80", echo);
        let probe = self.t.open_connect("probe:80");
        self.t[probe].write(b"ping");
        self.t.run_for(Duration::from_secs(60));
        match self.t[probe].answers() {
            [Ok(())] => assert_eq!(self.t[probe].received(), b"ping"),
            [
                Err(
                    DialError::NoAgent
                    | DialError::TooManyStreams { .. }
                    | DialError::TooManyDials { .. },
                ),
            ] => {}
            [Err(DialError::Refused(words))] => assert!(words.contains("limit"), "{words}"),
            other => panic!("the probe's dial was answered by {other:?}"),
        }
        self.t[probe].close();
    }

    /// Everybody reads: what can happen does.
    pub(super) fn settle(&mut self) {
        self.everybody_reads();
        loop {
            let before = self.progress();
            self.t.run_until_idle();
            if self.progress() == before {
                break;
            }
        }
        // Connections established meanwhile read by default.
        let patient = self.check_reasons();
        let lossless = self.rules == Rules::AlwaysResumed;
        for connection in &mut self.connections {
            connection.check_settled(&mut self.t, patient, lossless);
        }
    }

    /// How many bytes have arrived, and how many ends.
    fn progress(&mut self) -> usize {
        let connections = self.connections.iter();
        connections
            .map(|connection| connection.progress(&mut self.t))
            .sum()
    }

    fn everybody_reads(&mut self) {
        for connection in &self.connections {
            read(&mut self.t, connection.client, true);
            if connection.is_established(&self.t) {
                self.t.endpoints.at(&connection.address).read(true);
            }
        }
    }

    /// No machine accuses another of breaking the credit rules; true when nobody was cut for being slow.
    fn check_reasons(&mut self) -> bool {
        let mut patient = true;
        let lossless = self.rules == Rules::AlwaysResumed;
        for link in self.t.links() {
            let tunnel = self.t.tunnel(link);
            let refused = &tunnel.refused;
            let at_server = tunnel.server.events.iter().filter_map(|event| match event {
                LinkEvent::Closed { reason, .. } => Some(reason),
                LinkEvent::DialStarted
                | LinkEvent::DialEnded
                | LinkEvent::DialFailed(_)
                | LinkEvent::Opened { .. }
                | LinkEvent::Draining
                | LinkEvent::Suspended
                | LinkEvent::Resumed
                | LinkEvent::ResumptionConfirmed { .. }
                | LinkEvent::Silent
                | LinkEvent::Broken(_)
                | LinkEvent::Down(_)
                | LinkEvent::Retired => None,
            });
            let forgotten = |refused: &ResumeRefused| *refused == ResumeRefused::Unknown;
            assert!(
                !lossless || refused.iter().all(forgotten),
                "{link}: {refused:?}"
            );
            let at_agent = tunnel.agent.events.iter().filter_map(|event| match event {
                agent::LinkEvent::Closed { reason, .. } => Some(reason),
                agent::LinkEvent::Dial { .. }
                | agent::LinkEvent::DialAbandoned { .. }
                | agent::LinkEvent::ServerDraining
                | agent::LinkEvent::Suspended
                | agent::LinkEvent::Resumed
                | agent::LinkEvent::Silent
                | agent::LinkEvent::Broken(_)
                | agent::LinkEvent::Down
                | agent::LinkEvent::Opened { .. } => None,
            });
            for reason in at_server.chain(at_agent) {
                assert!(
                    !matches!(reason, CloseReason::WindowOverrun(_)),
                    "on {link}"
                );
                // A server that has nothing to keep forgets the session at once, and the agent hears of it.
                let lost = reason.is_of_tunnel() && *reason != CloseReason::SessionUnknown;
                assert!(!(lossless && lost), "{reason} on {link}, {refused:?}");
                patient &= !was_slow(reason);
            }
        }
        patient
    }

    /// Everybody closes: nothing may be left.
    pub(super) fn close_everything(&mut self) {
        for connection in &mut self.connections {
            close(&mut self.t, connection);
        }
        self.t.run_for(Duration::from_secs(1));
        for connection in &self.connections {
            if let Client::Grpc(frontend, _) = connection.client {
                self.t[frontend].finish();
            }
        }
        self.t.run_until_idle();
        for connection in &mut self.connections {
            connection.check_always(&mut self.t);
        }
        self.t.assert_nothing_left();
    }
}

/// Somebody was cut for being slow; a peer without `reset/1` is told in words.
fn was_slow(reason: &CloseReason) -> bool {
    let at = Initiator::Agent;
    let slow = [CloseReason::SlowReader(at), CloseReason::CloseTimedOut(at)];
    slow.iter()
        .any(|slow| slow.to_string() == reason.to_string())
}

fn close(t: &mut Triad, connection: &mut Connection) {
    connection.client_closed = true;
    match connection.client {
        Client::Grpc(frontend, dial) => t[frontend].close(dial),
        Client::Connect(frontend) => {
            // Who hangs up before the answer gives the dial up.
            connection.client_left |= t[frontend].answers().is_empty();
            t[frontend].close();
        }
    }
}

fn read(t: &mut Triad, client: Client, reading: bool) {
    match client {
        Client::Grpc(frontend, _) => t[frontend].read(reading),
        Client::Connect(frontend) => t[frontend].read(reading),
    }
}

fn pick<T>(items: &mut [T], which: u8) -> Option<&mut T> {
    let count = items.len().max(1);
    items.get_mut(usize::from(which) % count)
}
