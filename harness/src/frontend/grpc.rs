//! A gRPC frontend: a client with a Proxy stream, and the server's task for that stream.

use std::time::Instant;

use dialback_core::server::{ProxyAction, ProxyStream, ProxyStreamConfig, StreamRef};
use dialback_core::{CloseReason, ConnectId, DialId, Packet};

use super::Dialler;
use super::grpc_client::GrpcClient;
use crate::pipe::{PipeConfig, PipeEnd};
use crate::setup::Agreed;
use crate::task::Interest;
use crate::tunnel::Tunnels;
use crate::wire::{PacketWire, Received};

/// One Proxy stream, seen from both of its ends.
#[derive(Debug)]
pub struct GrpcFrontend {
    /// The server's machine, to be looked at.
    pub proxy: ProxyStream,
    half_close: bool,
    held: Vec<StreamRef>,
    interest: Interest,
    /// The server has ended the call.
    served: bool,
    /// From the client.
    pub up: PacketWire,
    /// To the client.
    pub down: PacketWire,
    client: GrpcClient,
}

impl GrpcFrontend {
    pub(crate) fn new(now: Instant, config: ProxyStreamConfig, wires: &PipeConfig) -> Self {
        let agreed = Agreed {
            half_close: config.half_close,
            ..Agreed::default()
        };
        Self {
            half_close: config.half_close,
            proxy: ProxyStream::new(now, config),
            held: Vec::new(),
            interest: Interest::FIRST,
            served: false,
            up: PacketWire::new(wires.clone(), agreed),
            down: PacketWire::new(wires.clone(), agreed),
            client: GrpcClient::default(),
        }
    }

    // ---- what the client does ----

    /// Dials under a fresh id: 1, 2, 3...
    pub fn dial(&mut self, address: &str) -> DialId {
        self.client.dial(address)
    }

    /// Sends bytes on a dial's connection, as soon as there is one.
    pub fn write(&mut self, dial: DialId, data: &[u8]) {
        self.client.write(dial, data);
    }

    /// Closes a dial's connection, behind all that was written on it.
    pub fn close(&mut self, dial: DialId) {
        if let Some(connection) = self.client.connections.get_mut(&dial) {
            connection.closing = true;
        }
    }

    /// Gives a dial up.
    pub fn cancel(&mut self, dial: DialId) {
        self.send(Packet::CloseDial { dial });
    }

    /// Sends any packet.
    pub fn send(&mut self, packet: Packet) {
        self.client.outbox.push_back(packet);
    }

    /// Ends the client's side of the stream, behind all that was sent.
    pub fn finish(&mut self) {
        self.client.finishing = true;
    }

    /// Resets the stream, as a client does that closes or goes away.
    pub fn reset(&mut self, now: Instant) {
        self.client.finished = true;
        self.client.outbox.clear();
        self.client.ended.get_or_insert(PipeEnd::Reset);
        self.up.lose(now);
        self.down.pipe.break_off();
    }

    /// Starts or stops reading.
    pub fn read(&mut self, reading: bool) {
        self.client.not_reading = !reading;
    }

    // ---- what the client has seen ----

    /// Every packet the client has read.
    #[must_use]
    pub fn received(&self) -> &[Packet] {
        &self.client.received
    }

    /// The answers to a dial: a connection or an error in words.
    #[must_use]
    pub fn answers(&self, dial: DialId) -> Vec<Result<ConnectId, String>> {
        self.received()
            .iter()
            .filter_map(|packet| match packet {
                Packet::DialResponse {
                    dial: answered,
                    connect_id: Some(connect_id),
                    error,
                    ..
                } if *answered == dial && error.is_empty() => Some(Ok(*connect_id)),
                Packet::DialResponse {
                    dial: answered,
                    error,
                    ..
                } if *answered == dial => Some(Err(error.clone())),
                Packet::CloseDial { dial: closed } if *closed == dial => {
                    Some(Err("dial closed".to_owned()))
                }
                Packet::DialRequest { .. }
                | Packet::DialResponse { .. }
                | Packet::CloseRequest { .. }
                | Packet::CloseResponse { .. }
                | Packet::Data { .. }
                | Packet::CloseDial { .. }
                | Packet::Drain
                | Packet::WindowUpdate { .. }
                | Packet::CloseWrite { .. }
                | Packet::Ack { .. }
                | Packet::Reset { .. } => None,
            })
            .collect()
    }

    /// The connection that a dial has led to.
    #[must_use]
    pub fn connect_id(&self, dial: DialId) -> Option<ConnectId> {
        self.client.connections.get(&dial)?.connect_id
    }

    /// The bytes read from a dial's connection.
    #[must_use]
    pub fn data(&self, dial: DialId) -> &[u8] {
        match self.client.connections.get(&dial) {
            Some(connection) => &connection.received,
            None => &[],
        }
    }

    /// The errors of the CLOSE_RSP of a dial's connection; an orderly one is empty.
    #[must_use]
    pub fn closes(&self, dial: DialId) -> Vec<&str> {
        let wanted = self.connect_id(dial);
        self.received()
            .iter()
            .filter_map(|packet| {
                if let Packet::CloseResponse { connect_id, error } = packet
                    && wanted.is_some()
                    && *connect_id == wanted
                {
                    Some(error.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    /// How the stream ended for the client, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<PipeEnd> {
        self.client.ended
    }

    /// Bytes that the client still has to hand to its transport, and packets.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.client.outbox.is_empty()
            && self
                .client
                .connections
                .values()
                .all(|connection| connection.to_send.is_empty())
    }

    /// Nothing is left of the stream at the server.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.served && self.held.is_empty() && self.proxy.poll_timeout().is_none()
    }

    // ---- running ----

    pub(crate) fn run(
        &mut self,
        now: Instant,
        tunnels: &mut Tunnels,
        dialler: &mut impl Dialler,
    ) -> bool {
        let mut moved = self.client.run(now, &mut self.up, &mut self.down);
        if self.is_due(now, tunnels) {
            self.serve(now, tunnels, dialler);
            moved = true;
        }
        moved
    }

    fn is_due(&self, now: Instant, tunnels: &mut Tunnels) -> bool {
        !self.served
            && (self.interest.woken
                || self.interest.reading && self.up.readable(now)
                || self.interest.writing && self.down.has_room()
                || self.proxy.poll_timeout().is_some_and(|at| at <= now)
                // Even unread, a client that goes away is noticed.
                || self.down.pipe.is_broken()
                || self
                    .held
                    .iter()
                    .any(|at| tunnels.server(*at).is_woken(at.stream)))
    }

    /// The server's task for the stream, as far as it gets.
    fn serve(&mut self, now: Instant, tunnels: &mut Tunnels, dialler: &mut impl Dialler) {
        self.interest.clear();
        for at in &self.held {
            tunnels.server(*at).take_wake(at.stream);
        }
        if self.down.pipe.is_broken() {
            return self.end(now, tunnels, dialler, CloseReason::FrontendLost);
        }
        loop {
            if self.proxy.poll_timeout().is_some_and(|at| at <= now) {
                self.proxy.handle_timeout(now);
            }
            let received = self.receive(now, tunnels);
            if let Some(Received::End(end)) = received {
                let reason = match end {
                    PipeEnd::Finished => CloseReason::FrontendClosed,
                    PipeEnd::Reset => CloseReason::FrontendLost,
                };
                return self.end(now, tunnels, dialler, reason);
            }
            let mut moved = received.is_some();
            if let Some(Received::Packet(packet)) = received {
                self.proxy.handle_packet(now, packet);
            }
            if self.act(now, tunnels, dialler) {
                return self.end(now, tunnels, dialler, CloseReason::FrontendClosed);
            }
            moved |= self.transmit(now, tunnels);
            if !moved {
                return;
            }
        }
    }

    fn receive(&mut self, now: Instant, tunnels: &mut Tunnels) -> Option<Received> {
        let room = self
            .proxy
            .open_streams()
            .all(|at| tunnels.server(at).link.wants_frontend_data(at.stream));
        if !(room && self.proxy.wants_read()) {
            return None;
        }
        let received = self.up.receive(now);
        self.interest.reading |= received.is_none();
        received
    }

    /// One packet to the client, if there is one and room for it.
    fn transmit(&mut self, now: Instant, tunnels: &mut Tunnels) -> bool {
        if !self.proxy.has_transmit() && !self.take_output(now, tunnels) {
            return false;
        }
        if !self.down.has_room() {
            self.interest.writing = true;
            return false;
        }
        if let Some(packet) = self.proxy.poll_transmit() {
            self.down.send(now, packet);
        }
        true
    }

    fn take_output(&mut self, now: Instant, tunnels: &mut Tunnels) -> bool {
        if !self.proxy.wants_output() {
            return false;
        }
        for at in self.held.clone() {
            let server = tunnels.server(at);
            if let Some(output) = server.input(|link| link.poll_stream(now, at.stream)) {
                self.proxy.handle_output(now, at, output);
                self.release_ended(now, tunnels);
                return true;
            }
        }
        false
    }

    /// Lets go of streams that the machine asks for no more.
    fn release_ended(&mut self, now: Instant, tunnels: &mut Tunnels) {
        for at in std::mem::take(&mut self.held) {
            if self.proxy.live_streams().any(|live| live == at) {
                self.held.push(at);
            } else {
                let gone = CloseReason::FrontendLost;
                let server = tunnels.server(at);
                server.input(|link| link.handle_frontend_gone(now, at.stream, gone));
            }
        }
    }

    /// Does what the machine decided; true when the call is to end.
    fn act(&mut self, now: Instant, tunnels: &mut Tunnels, dialler: &mut impl Dialler) -> bool {
        while let Some(action) = self.proxy.poll_action() {
            match action {
                ProxyAction::Route {
                    dial,
                    protocol,
                    address,
                } => {
                    let routed = dialler.dial(tunnels, protocol, address);
                    if let Ok(at) = routed {
                        if self.half_close {
                            let server = tunnels.server(at);
                            server.input(|link| link.allow_half_close(at.stream));
                        }
                        self.held.push(at);
                    }
                    self.proxy.handle_routed(now, dial, routed);
                }
                ProxyAction::Data(at, data) => {
                    let server = tunnels.server(at);
                    server.input(|link| link.handle_frontend_data(at.stream, data));
                }
                ProxyAction::EndOfData(at) => {
                    let server = tunnels.server(at);
                    server.input(|link| link.handle_frontend_end(now, at.stream));
                }
                ProxyAction::Close(at, reason) => {
                    let server = tunnels.server(at);
                    server.input(|link| link.handle_frontend_close(now, at.stream, reason));
                }
                ProxyAction::Gone(at, reason) => {
                    let server = tunnels.server(at);
                    server.input(|link| link.handle_frontend_gone(now, at.stream, reason));
                    self.held.retain(|held| *held != at);
                }
                ProxyAction::Finish => return true,
            }
        }
        false
    }

    fn end(
        &mut self,
        now: Instant,
        tunnels: &mut Tunnels,
        dialler: &mut impl Dialler,
        reason: CloseReason,
    ) {
        self.proxy.handle_end(reason);
        self.act(now, tunnels, dialler);
        self.release_ended(now, tunnels);
        while let Some(packet) = self.proxy.poll_transmit() {
            self.down.send(now, packet);
        }
        self.down.pipe.finish(now);
        self.up.pipe.break_off();
        self.served = true;
    }

    pub(crate) fn next_event(&self, now: Instant) -> Option<Instant> {
        let arrival = if self.client.not_reading {
            None
        } else {
            self.down.pipe.next_arrival(now)
        };
        let timeout = self.proxy.poll_timeout().filter(|_| !self.served);
        [timeout, self.up.pipe.next_arrival(now), arrival]
            .into_iter()
            .flatten()
            .min()
    }
}
