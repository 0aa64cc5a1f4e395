//! One Proxy stream and the connection it carries, seen from the frontend.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::config::TunnelConfig;
use super::error::{ConnectionError, DialError, TunnelLoss};
use crate::byte_queue::ByteQueue;
use crate::ids::{ConnectId, DialId};
use crate::wire::Packet;

/// Control packets that may wait for the transport: beyond, replies to unknown connection ids are dropped.
const MAX_CONTROL_PACKETS: usize = 16;

/// The frontend's end of one Proxy stream: one dial, and the connection that comes of it.
///
/// The driver opens the stream, hands it what [`Tunnel::poll_transmit`] yields whenever the transport has
/// room, and reads packets from it while [`Tunnel::wants_read`]. The connection's owner reads with
/// [`Tunnel::poll_read`] and writes with [`Tunnel::write`]. After every input the driver drains
/// [`Tunnel::poll_event`] and lets both look again. Once [`Tunnel::is_finished`] it ends the stream, by a
/// reset with CANCEL; the server cleans up after it. What was received can still be read then.
///
/// The protocol has no half-close: [`Tunnel::close`] ends both directions. A server that answers the call with
/// `half-close/1` has it, see [`Tunnel::allow_half_close`].
#[derive(Debug)]
pub struct Tunnel {
    config: TunnelConfig,
    dial: DialId,
    phase: Phase,
    /// Packets that go before all data.
    control: VecDeque<Packet>,
    /// Towards the transport.
    outgoing: ByteQueue,
    /// The connection ended before all of `outgoing` was sent.
    dropped_writes: bool,
    /// Towards the reader.
    incoming: ByteQueue,
    /// Nobody reads any more: what comes is dropped.
    discarding: bool,
    half_close: HalfClose,
    events: VecDeque<TunnelEvent>,
}

/// The ends of single directions, where the server knows of them.
#[derive(Debug, Default)]
struct HalfClose {
    agreed: bool,
    /// Nothing more is written.
    writing_ended: bool,
    /// The server was told so.
    end_sent: bool,
    /// The endpoint sends no more.
    endpoint_ended: bool,
}

/// ```text
/// Dialing ──answer──▶ Open ──close──▶ Closing ──answer, timeout──▶ Ended
///    │                  └──closed by the peer, tunnel lost──────────▶ ▲
///    └──refused, timeout, cancel, tunnel lost─────────────────────────┘
/// ```
///
/// A deadline of `None` is one that `Instant` can't hold: never.
#[derive(Debug)]
enum Phase {
    Dialing {
        deadline: Option<Instant>,
    },
    Open {
        connect_id: ConnectId,
    },
    Closing {
        connect_id: ConnectId,
        requested: bool,
        deadline: Option<Instant>,
    },
    Ended {
        end: Result<(), ConnectionError>,
        /// Until then the last packets may wait for the transport.
        deadline: Option<Instant>,
    },
}

/// What the owner of a connection is told, each once at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelEvent {
    /// What came of the dial. With an error the tunnel is over.
    Dialled(Result<ConnectId, DialError>),
    /// The established connection has ended: the result of a close, if there was one.
    Ended(Result<(), ConnectionError>),
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadOutput {
    /// The next bytes; never empty.
    Data(Bytes),
    /// The connection was closed in order, and everything sent before has been read.
    Eof,
    /// The connection broke; bytes may be missing.
    Failed(ConnectionError),
}

impl Tunnel {
    /// A tunnel that dials `address`, `host:port`, as soon as the transport takes the first packet.
    ///
    /// `dial` is drawn at random by the caller; the reference uses 63 bits, not negative.
    ///
    /// # Errors
    ///
    /// [`DialError::ProtocolNotSupported`] when `protocol` is not `tcp`, the only one the reference's
    /// client accepts. No stream need be opened then.
    pub fn new(
        config: TunnelConfig,
        dial: DialId,
        protocol: &str,
        address: &str,
        now: Instant,
    ) -> Result<Self, DialError> {
        if protocol != "tcp" {
            return Err(DialError::ProtocolNotSupported);
        }
        let deadline = now.checked_add(config.dial_timeout);
        Ok(Self {
            config: config.in_range(),
            dial,
            phase: Phase::Dialing { deadline },
            control: VecDeque::from([Packet::DialRequest {
                dial,
                protocol: protocol.to_owned(),
                address: address.to_owned(),
            }]),
            outgoing: ByteQueue::default(),
            dropped_writes: false,
            incoming: ByteQueue::default(),
            discarding: false,
            half_close: HalfClose::default(),
            events: VecDeque::new(),
        })
    }

    // ---- from the server ----

    /// A packet from the server (reactions as in `konnectivity-client/pkg/client/client.go`, `serve`).
    pub fn handle_packet(&mut self, packet: Packet) {
        if matches!(self.phase, Phase::Ended { .. }) {
            return;
        }
        match packet {
            Packet::Data {
                connect_id: Some(connect_id),
                data,
            } => self.handle_data(connect_id, data),
            Packet::DialResponse {
                dial,
                connect_id,
                error,
                ..
            } => self.handle_answer(dial, connect_id, error),
            Packet::CloseResponse { connect_id, error } => {
                if connect_id.is_some() && connect_id == self.connect_id() {
                    self.end(if error.is_empty() {
                        Ok(())
                    } else {
                        Err(ConnectionError::Failed(error))
                    });
                }
            }
            Packet::CloseDial { .. } => match self.phase {
                Phase::Dialing { .. } => self.fail_dial(DialError::Closed),
                Phase::Open { .. } | Phase::Closing { .. } | Phase::Ended { .. } => {
                    self.lose(TunnelLoss::DialClosed);
                }
            },
            Packet::CloseWrite { connect_id } => {
                if self.half_close.agreed && connect_id.is_some() && connect_id == self.connect_id()
                {
                    self.half_close.endpoint_ended = true;
                    self.end_if_both();
                }
            }
            // An id of zero names nothing; the others are no packets of a server.
            Packet::Data {
                connect_id: None, ..
            }
            | Packet::DialRequest { .. }
            | Packet::CloseRequest { .. }
            | Packet::WindowUpdate { .. }
            | Packet::Ack { .. }
            | Packet::Reset { .. }
            | Packet::Drain => {}
        }
    }

    fn handle_answer(&mut self, dial: DialId, connect_id: Option<ConnectId>, error: String) {
        if !matches!(self.phase, Phase::Dialing { .. }) || dial != self.dial {
            return self.lose(TunnelLoss::UnexpectedAnswer(dial));
        }
        if !error.is_empty() {
            return self.fail_dial(DialError::Refused(error));
        }
        let Some(connect_id) = connect_id else {
            return self.fail_dial(DialError::MissingConnectId);
        };
        // Data that came before the answer was for an unknown id then; its reply would close the connection.
        let early = Packet::CloseRequest {
            connect_id: Some(connect_id),
        };
        self.control.retain(|packet| *packet != early);
        self.phase = Phase::Open { connect_id };
        self.events.push_back(TunnelEvent::Dialled(Ok(connect_id)));
    }

    fn handle_data(&mut self, connect_id: ConnectId, data: Bytes) {
        if self.connect_id() == Some(connect_id) {
            // Empty DATA is no end of file, whatever the reference's client makes of it.
            if !self.discarding {
                self.incoming.push(data);
            }
        } else if self.control.len() < MAX_CONTROL_PACKETS {
            self.control.push_back(Packet::CloseRequest {
                connect_id: Some(connect_id),
            });
        }
    }

    /// The Proxy stream has ended: `Ok` with status 0, else the status or the transport's error in words.
    ///
    /// Either way the connection on it, unless it was closed before, has ended abnormally.
    pub fn handle_stream_end(&mut self, end: Result<(), String>) {
        self.control.clear();
        self.lose(match end {
            Ok(()) => TunnelLoss::StreamEnded,
            Err(words) => TunnelLoss::StreamFailed(words),
        });
    }

    /// Whether packets should be read from the stream: the reader's queue has room.
    ///
    /// While not, leave what the server sends to the flow control of the transport.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        !matches!(self.phase, Phase::Ended { .. })
            && self.incoming.len() < self.config.read_buffer_bytes
    }

    // ---- from the connection's owner ----

    /// Takes bytes for the endpoint from the front of `data`, as many as there is room for; returns how many.
    ///
    /// None are taken before the dial has succeeded.
    ///
    /// # Errors
    ///
    /// When the connection has ended, or [`Tunnel::close`] was called.
    pub fn write(&mut self, data: &mut Bytes) -> Result<usize, ConnectionError> {
        match &self.phase {
            Phase::Dialing { .. } => Ok(0),
            Phase::Open { .. } if self.half_close.writing_ended => Err(self.write_error()),
            Phase::Open { .. } => {
                let taken = data.len().min(self.write_room());
                self.outgoing.push(data.split_to(taken));
                Ok(taken)
            }
            Phase::Closing { .. } | Phase::Ended { .. } => Err(self.write_error()),
        }
    }

    /// Bytes that [`Tunnel::write`] would take now.
    #[must_use]
    pub fn write_room(&self) -> usize {
        match self.phase {
            Phase::Open { .. } if self.half_close.writing_ended => 0,
            Phase::Open { .. } => {
                let bound = self.config.write_buffer_bytes;
                bound.saturating_sub(self.outgoing.len())
            }
            Phase::Dialing { .. } | Phase::Closing { .. } | Phase::Ended { .. } => 0,
        }
    }

    /// Whether [`Tunnel::write`] would take bytes: the connection is open and its queue has room.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.write_room() > 0
    }

    /// Whether everything written was handed to the transport.
    ///
    /// # Errors
    ///
    /// When the connection ended before that, even if the other side ended it in order.
    pub fn flushed(&self) -> Result<bool, ConnectionError> {
        if self.dropped_writes {
            Err(self.write_error())
        } else {
            Ok(self.outgoing.is_empty())
        }
    }

    fn write_error(&self) -> ConnectionError {
        match &self.phase {
            Phase::Ended {
                end: Err(error), ..
            } => error.clone(),
            Phase::Ended { end: Ok(()), .. }
            | Phase::Dialing { .. }
            | Phase::Open { .. }
            | Phase::Closing { .. } => ConnectionError::Closed,
        }
    }

    /// The next bytes from the endpoint, at most `max_bytes`, or the end; `None` while there is neither.
    pub fn poll_read(&mut self, max_bytes: usize) -> Option<ReadOutput> {
        if !self.incoming.is_empty() {
            return self.incoming.take(max_bytes).map(ReadOutput::Data);
        }
        if self.half_close.endpoint_ended {
            return Some(ReadOutput::Eof);
        }
        match &self.phase {
            Phase::Ended { end: Ok(()), .. } => Some(ReadOutput::Eof),
            Phase::Ended {
                end: Err(error), ..
            } => Some(ReadOutput::Failed(error.clone())),
            Phase::Dialing { .. } | Phase::Open { .. } | Phase::Closing { .. } => None,
        }
    }

    /// Nobody will read any more: what has come and still comes is dropped.
    ///
    /// For an owner who closes without reading to the end; otherwise a full queue would keep the answer to
    /// the close from being read.
    pub fn stop_reading(&mut self) {
        self.discarding = true;
        self.incoming.clear();
    }

    /// Closes the connection, once everything written was sent; [`TunnelEvent::Ended`] tells the result.
    ///
    /// Both directions end, but what the endpoint had sent before can still be read. During the dial this is
    /// [`Tunnel::cancel`]; a second call changes nothing.
    pub fn close(&mut self, now: Instant) {
        match self.phase {
            Phase::Dialing { .. } => self.cancel(now),
            Phase::Open { connect_id } => {
                self.phase = Phase::Closing {
                    connect_id,
                    requested: false,
                    deadline: now.checked_add(self.config.close_timeout),
                };
            }
            Phase::Closing { .. } | Phase::Ended { .. } => {}
        }
    }

    /// The server has answered the call with `half-close/1`, which it was offered; to be said before its first
    /// packet is handled.
    pub fn allow_half_close(&mut self) {
        self.half_close.agreed = true;
    }

    /// Writes no more, behind all that was written, and reads on to the endpoint's end.
    ///
    /// Where the server has no half-close this is [`Tunnel::close`]. Before the dial was answered it does nothing.
    pub fn end_writing(&mut self, now: Instant) {
        if !self.half_close.agreed {
            self.close(now);
        } else if matches!(self.phase, Phase::Open { .. }) {
            self.half_close.writing_ended = true;
        }
    }

    /// Both directions have ended, each with all that was sent.
    fn end_if_both(&mut self) {
        if self.half_close.end_sent && self.half_close.endpoint_ended {
            self.end(Ok(()));
        }
    }

    /// Gives the dial up; nothing once it was answered.
    pub fn cancel(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Dialing { .. }) {
            self.abandon_dial(now, DialError::Cancelled);
        }
    }

    // ---- towards the transport ----

    /// The next packet for the stream; ask only when the transport has room for one.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Packet> {
        if let Some(packet) = self.control.pop_front() {
            return Some(packet);
        }
        let connect_id = self.connect_id();
        connect_id?;
        let data = self.outgoing.take(self.config.max_data_bytes);
        if let Phase::Closing {
            requested,
            deadline,
            ..
        } = &mut self.phase
            && !*requested
        {
            // Progress: what was written, and at last the request, goes out.
            *deadline = now.checked_add(self.config.close_timeout);
            if data.is_none() {
                *requested = true;
                return Some(Packet::CloseRequest { connect_id });
            }
        }
        if data.is_none() && self.half_close.writing_ended && !self.half_close.end_sent {
            self.half_close.end_sent = true;
            self.end_if_both();
            return Some(Packet::CloseWrite { connect_id });
        }
        data.map(|data| Packet::Data { connect_id, data })
    }

    // ---- time, and what to tell ----

    /// The time of [`Tunnel::poll_timeout`] has come; early or repeated calls do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.phase {
            Phase::Dialing { .. } => self.abandon_dial(now, DialError::TimedOut),
            Phase::Closing { .. } => self.end(Err(ConnectionError::CloseTimedOut)),
            Phase::Ended { .. } => self.control.clear(),
            Phase::Open { .. } => {}
        }
    }

    /// When [`Tunnel::handle_timeout`] has something to do, if ever.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Dialing { deadline } | Phase::Closing { deadline, .. } => deadline,
            Phase::Ended { deadline, .. } => deadline.filter(|_| !self.control.is_empty()),
            Phase::Open { .. } => None,
        }
    }

    /// The next thing to tell the owner.
    pub fn poll_event(&mut self) -> Option<TunnelEvent> {
        self.events.pop_front()
    }

    /// How the tunnel ended, if it has; [`ConnectionError::NotEstablished`] after a dial that failed.
    #[must_use]
    pub const fn ended(&self) -> Option<&Result<(), ConnectionError>> {
        match &self.phase {
            Phase::Ended { end, .. } => Some(end),
            Phase::Dialing { .. } | Phase::Open { .. } | Phase::Closing { .. } => None,
        }
    }

    /// Whether the stream is to be ended: the tunnel is over and nothing waits for the transport.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ended().is_some() && self.control.is_empty()
    }

    // ---- transitions ----

    const fn connect_id(&self) -> Option<ConnectId> {
        match self.phase {
            Phase::Open { connect_id } | Phase::Closing { connect_id, .. } => Some(connect_id),
            Phase::Dialing { .. } | Phase::Ended { .. } => None,
        }
    }

    /// The dial is given up on this side: the server is told if it knows of it, without waiting for long.
    fn abandon_dial(&mut self, now: Instant, error: DialError) {
        let unsent = |packet: &Packet| matches!(packet, Packet::DialRequest { .. });
        let sent = !self.control.iter().any(unsent);
        self.fail_dial(error);
        if sent {
            self.control
                .push_back(Packet::CloseDial { dial: self.dial });
            self.phase = Phase::Ended {
                end: Err(ConnectionError::NotEstablished),
                deadline: now.checked_add(self.config.close_timeout),
            };
        }
    }

    fn fail_dial(&mut self, error: DialError) {
        self.finish(Err(ConnectionError::NotEstablished));
        self.events.push_back(TunnelEvent::Dialled(Err(error)));
    }

    fn end(&mut self, end: Result<(), ConnectionError>) {
        self.finish(end.clone());
        self.events.push_back(TunnelEvent::Ended(end));
    }

    /// The tunnel has ended under whatever was going on.
    fn lose(&mut self, loss: TunnelLoss) {
        match self.phase {
            Phase::Dialing { .. } => self.fail_dial(DialError::TunnelClosed(loss)),
            Phase::Open { .. } | Phase::Closing { .. } => {
                self.end(Err(ConnectionError::TunnelClosed(loss)));
            }
            Phase::Ended { .. } => {}
        }
    }

    fn finish(&mut self, end: Result<(), ConnectionError>) {
        self.control.clear();
        self.dropped_writes = !self.outgoing.is_empty();
        self.outgoing.clear();
        let deadline = None;
        self.phase = Phase::Ended { end, deadline };
    }
}
