//! The client of a gRPC frontend: a Proxy stream as kube-apiserver uses one, and as a hostile client might.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use dialback_core::{ConnectId, DialId, Packet};

use crate::pipe::PipeEnd;
use crate::wire::{PacketWire, Received};

/// The client's largest payload of one DATA packet.
const CLIENT_DATA_BYTES: usize = 32 * 1024;

/// What the client wants and what it has seen.
#[derive(Debug, Default)]
pub(super) struct GrpcClient {
    pub(super) connections: BTreeMap<DialId, Connection>,
    pub(super) outbox: VecDeque<Packet>,
    pub(super) received: Vec<Packet>,
    pub(super) not_reading: bool,
    pub(super) finishing: bool,
    pub(super) finished: bool,
    pub(super) ended: Option<PipeEnd>,
}

/// A dial and what came of it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub(super) connect_id: Option<ConnectId>,
    pub(super) to_send: VecDeque<Bytes>,
    pub(super) closing: bool,
    pub(super) received: Vec<u8>,
}

impl GrpcClient {
    pub(super) fn run(&mut self, now: Instant, up: &mut PacketWire, down: &mut PacketWire) -> bool {
        let mut moved = false;
        while !self.not_reading
            && self.ended.is_none()
            && let Some(received) = down.receive(now)
        {
            moved = true;
            match received {
                Received::Packet(packet) => self.receive(packet),
                Received::End(end) => self.ended = Some(end),
            }
        }
        loop {
            if self.finished || !up.has_room() {
                return moved;
            }
            let Some(packet) = self.next_packet() else {
                break;
            };
            up.send(now, packet);
            moved = true;
        }
        if self.finishing {
            self.finished = true;
            up.pipe.finish(now);
            moved = true;
        }
        moved
    }

    /// Dials under a fresh id.
    pub(super) fn dial(&mut self, address: &str) -> DialId {
        let dial = DialId(self.connections.len() as i64 + 1);
        self.connections.insert(dial, Connection::default());
        self.outbox.push_back(Packet::DialRequest {
            dial,
            protocol: "tcp".to_owned(),
            address: address.to_owned(),
        });
        dial
    }

    /// Queues bytes for a dial's connection, cut into packets.
    pub(super) fn write(&mut self, dial: DialId, data: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&dial)
            && !connection.closing
        {
            let pieces = data.chunks(CLIENT_DATA_BYTES);
            connection
                .to_send
                .extend(pieces.map(Bytes::copy_from_slice));
        }
    }

    fn receive(&mut self, packet: Packet) {
        if let Packet::DialResponse {
            dial,
            connect_id: Some(connect_id),
            ..
        } = &packet
            && let Some(connection) = self.connections.get_mut(dial)
        {
            connection.connect_id = Some(*connect_id);
        }
        if let Packet::Data { connect_id, data } = &packet
            && let Some(connection) = self
                .connections
                .values_mut()
                .find(|connection| connect_id.is_some() && connection.connect_id == *connect_id)
        {
            connection.received.extend_from_slice(data);
        }
        self.received.push(packet);
    }

    fn next_packet(&mut self) -> Option<Packet> {
        if let Some(packet) = self.outbox.pop_front() {
            return Some(packet);
        }
        for connection in self.connections.values_mut() {
            let connect_id = connection.connect_id;
            if connect_id.is_none() {
                continue;
            }
            if let Some(data) = connection.to_send.pop_front() {
                return Some(Packet::Data { connect_id, data });
            }
            if std::mem::take(&mut connection.closing) {
                return Some(Packet::CloseRequest { connect_id });
            }
        }
        None
    }
}
