//! A gRPC frontend's Proxy stream at the server.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::dial::{DialError, StreamOutput};
use crate::close::CloseReason;
use crate::ids::{ConnectId, DialId, LinkId, StreamId};
use crate::wire::Packet;

/// A stream on one of the server's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRef {
    /// The agent's tunnel.
    pub link: LinkId,
    /// The stream on it.
    pub stream: StreamId,
}

/// How long a Proxy stream may idle, and how patient the server is with its client.
#[derive(Clone, Debug)]
pub struct ProxyStreamConfig {
    /// How long a stream may stay open without any dial. Default 60 s, as long as an HTTP request's header.
    pub idle_timeout: Duration,
    /// How long a stream stays open after its last connection ended, for a late packet. Default 10 s.
    ///
    /// Longer while the frontend has not read that it ended: a slow reader is not to miss it.
    pub linger: Duration,
    /// How long the endpoint's first bytes are held back behind the answer to the dial, at most. Default 10 ms.
    ///
    /// The Go client registers a connection only after it has handed the answer over, and discards data that
    /// arrives in between, so an endpoint that speaks first would lose its banner. The client's own first
    /// packet shows that it is ready and ends the wait. HTTP-CONNECT frontends on plain sockets get the same
    /// respite, since kube-apiserver fails when payload arrives together with the answer.
    pub first_data_hold: Duration,
    /// Dials a stream may have, ended ones included; clients of the reference make one. Default 16.
    pub max_dials: usize,
    /// The frontend's call agreed on `half-close/1`. Default false.
    pub half_close: bool,
}

impl Default for ProxyStreamConfig {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(60),
            linger: Duration::from_secs(10),
            first_data_hold: Duration::from_millis(10),
            max_dials: 16,
            half_close: false,
        }
    }
}

/// Replies that may wait for a frontend; beyond it the frontend itself is not read.
const MAX_WAITING_PACKETS: usize = 64;

/// What the driver is to do for a Proxy stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAction {
    /// Choose a link, dial on it, and report with [`ProxyStream::handle_routed`].
    Route {
        /// The frontend's name for the dial.
        dial: DialId,
        /// As the frontend gave it.
        protocol: String,
        /// As the frontend gave it.
        address: String,
    },
    /// Give the bytes to the stream's link.
    Data(StreamRef, Bytes),
    /// The frontend sends no more on the stream, and reads on.
    EndOfData(StreamRef),
    /// The frontend closes the stream and waits for its end.
    Close(StreamRef, CloseReason),
    /// The frontend has forgotten the stream, or a pending dial.
    Gone(StreamRef, CloseReason),
    /// End the call with status OK, once [`ProxyStream::poll_transmit`] has nothing more.
    Finish,
}

/// One call of `ProxyService.Proxy`.
///
/// It owns the ids established on it: a packet that names another stream's id is never relayed
/// (the reference relays it, into another frontend's connection).
#[derive(Debug)]
pub struct ProxyStream {
    config: ProxyStreamConfig,
    dials: Vec<Dial>,
    /// A dial reached an agent once.
    routed: bool,
    /// The connection id of the first DATA; others are a mistake of the client.
    first: Option<ConnectId>,
    /// Later packets are read and dropped, as the reference does after an end or an error.
    stopped: bool,
    finished: bool,
    deadline: Option<Instant>,
    hold_until: Option<Instant>,
    actions: VecDeque<ProxyAction>,
    transmit: VecDeque<Packet>,
}

#[derive(Debug)]
struct Dial {
    dial: DialId,
    at: Option<StreamRef>,
    connect_id: Option<ConnectId>,
    ended: Option<CloseReason>,
}

impl Dial {
    fn is_live(&self) -> bool {
        self.ended.is_none()
    }
}

impl ProxyStream {
    /// A stream that the client just opened.
    #[must_use]
    pub fn new(now: Instant, config: ProxyStreamConfig) -> Self {
        Self {
            deadline: Some(now + config.idle_timeout),
            config,
            dials: Vec::new(),
            routed: false,
            first: None,
            stopped: false,
            finished: false,
            hold_until: None,
            actions: VecDeque::new(),
            transmit: VecDeque::new(),
        }
    }

    /// A packet from the frontend.
    pub fn handle_packet(&mut self, now: Instant, packet: Packet) {
        self.hold_until = None;
        if self.stopped {
            return;
        }
        match packet {
            Packet::DialRequest {
                dial,
                protocol,
                address,
            } => self.handle_dial(dial, protocol, address),
            Packet::Data { connect_id, data } => self.handle_data(connect_id, data),
            Packet::CloseRequest { connect_id } => self.handle_close(connect_id),
            Packet::CloseDial { dial } => self.handle_close_dial(dial),
            Packet::CloseWrite { connect_id } if self.config.half_close => {
                if let Some(at) = connect_id.and_then(|id| self.live(id)) {
                    self.actions.push_back(ProxyAction::EndOfData(at));
                }
            }
            // No packets of a frontend, or not agreed on.
            Packet::DialResponse { .. }
            | Packet::CloseResponse { .. }
            | Packet::Drain
            | Packet::WindowUpdate { .. }
            | Packet::CloseWrite { .. }
            | Packet::Ack { .. }
            | Packet::Reset { .. } => {}
        }
        self.arm(now);
    }

    fn handle_dial(&mut self, dial: DialId, protocol: String, address: String) {
        let duplicate = self
            .dials
            .iter()
            .any(|known| known.dial == dial && known.connect_id.is_none());
        if duplicate || self.dials.len() >= self.config.max_dials {
            let error = "too many dials on one Proxy stream".to_owned();
            self.send(Packet::dial_failed(dial, error));
            return;
        }
        self.dials.push(Dial {
            dial,
            at: None,
            connect_id: None,
            ended: None,
        });
        self.actions.push_back(ProxyAction::Route {
            dial,
            protocol,
            address,
        });
    }

    fn handle_data(&mut self, connect_id: Option<ConnectId>, data: Bytes) {
        if !self.routed {
            self.refuse(connect_id, "backend not initialized");
            self.stopped = true;
            return;
        }
        let Some(connect_id) = connect_id else { return };
        if let Some(first) = self.first.filter(|first| *first != connect_id) {
            return self.mismatch(connect_id, first);
        }
        let Some(dial) = self
            .dials
            .iter()
            .find(|dial| dial.connect_id == Some(connect_id))
        else {
            return self.refuse(Some(connect_id), "unrecognized connectID");
        };
        self.first = Some(connect_id);
        // Bytes for a connection that has just ended cross its CLOSE_RSP on the way: nobody takes them.
        if let (true, Some(at)) = (dial.is_live(), dial.at) {
            self.actions.push_back(ProxyAction::Data(at, data));
        }
    }

    fn mismatch(&mut self, connect_id: ConnectId, first: ConnectId) {
        for id in [connect_id, first] {
            if let Some(at) = self.live(id) {
                self.actions
                    .push_back(ProxyAction::Close(at, CloseReason::MismatchedIds));
            }
        }
        for id in [connect_id, first] {
            self.refuse(Some(id), "mismatched connection IDs");
        }
        self.stopped = true;
    }

    fn handle_close(&mut self, connect_id: Option<ConnectId>) {
        if !self.routed {
            return self.refuse(connect_id, "backend uninitialized");
        }
        self.stopped = true;
        if let Some(at) = connect_id.and_then(|id| self.live(id)) {
            self.actions
                .push_back(ProxyAction::Close(at, CloseReason::FrontendClosed));
            return;
        }
        let lost = self.dials.iter().any(|dial| {
            connect_id.is_some()
                && dial.connect_id == connect_id
                && dial.ended.as_ref().is_some_and(CloseReason::is_of_tunnel)
        });
        self.refuse(
            connect_id,
            if lost {
                "CLOSE_REQ to backend failed"
            } else {
                "Unknown connectID"
            },
        );
    }

    fn handle_close_dial(&mut self, dial: DialId) {
        let pending = |known: &Dial| known.dial == dial && known.connect_id.is_none();
        if let Some(position) = self.dials.iter().position(pending) {
            let given_up = self.dials.remove(position);
            if let Some(at) = given_up.at {
                self.actions
                    .push_back(ProxyAction::Gone(at, CloseReason::FrontendClosed));
            }
        }
    }

    /// What came of a [`ProxyAction::Route`].
    pub fn handle_routed(
        &mut self,
        now: Instant,
        dial: DialId,
        routed: Result<StreamRef, DialError>,
    ) {
        match routed {
            Ok(at) => {
                self.routed = true;
                match self
                    .dials
                    .iter_mut()
                    .find(|known| known.dial == dial && known.at.is_none())
                {
                    Some(known) => known.at = Some(at),
                    None => self
                        .actions
                        .push_back(ProxyAction::Gone(at, CloseReason::FrontendClosed)),
                }
            }
            Err(error) => {
                self.dials
                    .retain(|known| known.dial != dial || known.at.is_some());
                self.send(Packet::dial_failed(dial, error.to_string()));
                self.stopped = true;
            }
        }
        self.arm(now);
    }

    /// Whether a dial is still to be routed: the frontend has not given it up.
    #[must_use]
    pub fn awaits_route(&self, dial: DialId) -> bool {
        let mut dials = self.dials.iter();
        dials.any(|known| known.dial == dial && known.at.is_none())
    }

    /// What a link tells of one of this stream's connections.
    pub fn handle_output(&mut self, now: Instant, at: StreamRef, output: StreamOutput) {
        let Some(position) = self.dials.iter().position(|dial| dial.at == Some(at)) else {
            return;
        };
        match output {
            StreamOutput::Dialled(connect_id) => self.handle_dialled(now, position, connect_id),
            StreamOutput::DialFailed(error) => {
                let dial = self.dials.remove(position).dial;
                self.send(if error == DialError::ClosedByAgent {
                    Packet::CloseDial { dial }
                } else {
                    Packet::dial_failed(dial, error.to_string())
                });
            }
            StreamOutput::Data(data) => {
                let connect_id = self.dials[position].connect_id;
                // Never an empty one: the Go client takes it for the end.
                if !data.is_empty() {
                    self.send(Packet::Data { connect_id, data });
                }
            }
            StreamOutput::EndOfData => {
                let connect_id = self.dials[position].connect_id;
                self.send(Packet::CloseWrite { connect_id });
            }
            StreamOutput::Closed(reason) => {
                let connect_id = self.dials[position].connect_id;
                self.send(Packet::CloseResponse {
                    connect_id,
                    error: reason.wire_error(),
                });
                self.dials[position].ended = Some(reason);
            }
        }
        self.arm(now);
    }

    fn handle_dialled(&mut self, now: Instant, position: usize, connect_id: ConnectId) {
        let Some(at) = self.dials[position].at else {
            return;
        };
        if self
            .dials
            .iter()
            .any(|dial| dial.connect_id == Some(connect_id))
        {
            // Two agents count alike: on one Proxy stream the client could not tell them apart.
            let dial = self.dials.remove(position).dial;
            let error = format!(
                "connection id {} is already in use on this Proxy stream",
                connect_id.value()
            );
            self.send(Packet::dial_failed(dial, error));
            self.actions
                .push_back(ProxyAction::Gone(at, CloseReason::FrontendClosed));
            return;
        }
        let entry = &mut self.dials[position];
        entry.connect_id = Some(connect_id);
        let answer = Packet::dial_succeeded(entry.dial, connect_id);
        self.send(answer);
        if !self.config.first_data_hold.is_zero() {
            self.hold_until = Some(now + self.config.first_data_hold);
        }
    }

    /// The client's stream has ended: all that it has open or pending is given up.
    pub fn handle_end(&mut self, reason: CloseReason) {
        self.finished = true;
        self.stopped = true;
        self.deadline = None;
        self.hold_until = None;
        for dial in std::mem::take(&mut self.dials) {
            if let (true, Some(at)) = (dial.is_live(), dial.at) {
                self.actions
                    .push_back(ProxyAction::Gone(at, reason.clone()));
            }
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<ProxyAction> {
        self.actions.pop_front()
    }

    /// The next packet for the frontend; call when the transport has room.
    pub fn poll_transmit(&mut self) -> Option<Packet> {
        self.transmit.pop_front()
    }

    /// Whether [`ProxyStream::poll_transmit`] has something.
    #[must_use]
    pub fn has_transmit(&self) -> bool {
        !self.transmit.is_empty()
    }

    /// Whether another packet of the frontend may be handled: it is not behind with reading our replies.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.transmit.len() < MAX_WAITING_PACKETS
    }

    /// Whether a link's output may be taken: nothing waits for the transport, and the endpoint's first bytes
    /// are not being held back.
    #[must_use]
    pub fn wants_output(&self) -> bool {
        self.transmit.is_empty() && self.hold_until.is_none()
    }

    /// The established connections of this stream: the frontend is read while each of them has room.
    pub fn open_streams(&self) -> impl Iterator<Item = StreamRef> + '_ {
        self.dials
            .iter()
            .filter(|dial| dial.is_live() && dial.connect_id.is_some())
            .filter_map(|dial| dial.at)
    }

    /// All connections and pending dials that can still produce outputs.
    pub fn live_streams(&self) -> impl Iterator<Item = StreamRef> + '_ {
        self.dials
            .iter()
            .filter(|dial| dial.is_live())
            .filter_map(|dial| dial.at)
    }

    /// When [`ProxyStream::handle_timeout`] is next due, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.hold_until, self.deadline) {
            (Some(hold), Some(deadline)) => Some(hold.min(deadline)),
            (hold, deadline) => hold.or(deadline),
        }
    }

    /// Acts on the deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.hold_until.is_some_and(|at| at <= now) {
            self.hold_until = None;
        }
        if self.deadline.is_some_and(|at| at <= now) {
            let has_ended = self.dials.iter().any(|dial| dial.ended.is_some());
            if has_ended && self.has_transmit() {
                self.deadline = Some(now + self.config.linger);
                return;
            }
            self.deadline = None;
            self.finished = true;
            self.stopped = true;
            self.actions.push_back(ProxyAction::Finish);
        }
    }

    /// The stream ends some time after its last connection did, or when none was ever dialled.
    fn arm(&mut self, now: Instant) {
        if self.finished {
            return;
        }
        let live = self.dials.iter().any(Dial::is_live);
        let wait = if self.routed || self.stopped {
            self.config.linger
        } else {
            self.config.idle_timeout
        };
        if live {
            self.deadline = None;
        } else if self.deadline.is_none() || self.stopped {
            self.deadline = Some(self.deadline.unwrap_or(now + wait).min(now + wait));
        }
    }

    fn live(&self, connect_id: ConnectId) -> Option<StreamRef> {
        self.dials
            .iter()
            .find(|dial| dial.connect_id == Some(connect_id) && dial.is_live())
            .and_then(|dial| dial.at)
    }

    fn refuse(&mut self, connect_id: Option<ConnectId>, error: &str) {
        self.send(Packet::CloseResponse {
            connect_id,
            error: error.to_owned(),
        });
    }

    fn send(&mut self, packet: Packet) {
        self.transmit.push_back(packet);
    }
}
