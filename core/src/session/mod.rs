//! What lets a tunnel outlive its transport (`resume/1`): numbering, retention, acknowledgement, replay.
//!
//! It lies under both ends' links, between their packets and the transport, and knows nothing of what the packets
//! mean. Every packet but `ACK` counts, each direction from the session's start. A sender keeps what it sent until
//! the peer has acknowledged it; after a loss each side says how many packets it took, and the other sends the
//! rest again. So a packet is taken once and in order, whatever happens to transports.

mod config;
mod flight;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use config::SessionConfig;
use flight::Flight;

use crate::load::LinkLoad;
use crate::memory::{LinkMemory, MemoryBudget};
use crate::wire::Packet;

/// What a retained packet costs beyond its payload and text, in bytes.
const PACKET_COST: usize = 128;

/// A peer or its words do not fit the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// It claims packets that were never sent to it, or takes back what it had acknowledged.
    #[error(
        "peer counts {received} packets of a session in which {acknowledged} were acknowledged and {sent} sent"
    )]
    Count {
        /// The peer's count.
        received: u64,
        /// What it had acknowledged before.
        acknowledged: u64,
        /// What it can have taken at most.
        sent: u64,
    },
    /// There is nothing to resume: the session has ended, or never could be resumed.
    #[error("session has ended")]
    Ended,
}

/// What a deadline of a session means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionTimeout {
    /// Nothing to tell; there may be something to send.
    None,
    /// The peer answers nothing: its transport is taken for dead.
    Silent,
    /// The session was not resumed in time.
    Expired,
}

/// One end of a session, with or without `resume/1`.
#[derive(Debug)]
pub(crate) struct Session {
    config: SessionConfig,
    resumable: bool,
    state: State,
    /// Packets that the peer has acknowledged.
    acknowledged: u64,
    /// Sent and not acknowledged, oldest first.
    retained: VecDeque<Retained>,
    retained_cost: usize,
    flight: Flight,
    /// How many of `retained` went to the present transport.
    replayed: usize,
    /// Packets taken from the peer.
    received: u64,
    /// Cost of what was taken since the last `ACK`, and how many packets that were.
    untold_cost: usize,
    untold: u64,
    acknowledge_at: Option<Instant>,
    acknowledge_now: bool,
    /// The packet that left last was an `ACK`.
    acknowledged_last: bool,
    probe_now: bool,
    /// The last packet from the peer on this transport.
    heard: Option<Instant>,
    /// Since when an acknowledgement is waited for.
    waiting_since: Option<Instant>,
    /// When to look whether the peer is still there.
    check_at: Option<Instant>,
    /// Resumptions since the peer last acknowledged anything.
    fruitless: u32,
    /// How often the session went on over another transport.
    resumptions: u64,
    /// The peer has not yet spoken since the last resumption.
    unconfirmed: bool,
    /// How long the newest acknowledgement took.
    round_trip: Option<Duration>,
    memory: LinkMemory,
}

/// A packet that may have to be sent again.
#[derive(Debug)]
struct Retained {
    packet: Packet,
    /// When it went to the present transport.
    sent_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Suspended { until: Instant },
    Down,
}

impl Session {
    pub(crate) fn new(config: SessionConfig, resumable: bool, memory: MemoryBudget) -> Self {
        Self {
            resumable,
            flight: Flight::new(config.retained_bytes),
            config,
            state: State::Up,
            acknowledged: 0,
            retained: VecDeque::new(),
            retained_cost: 0,
            replayed: 0,
            received: 0,
            untold_cost: 0,
            untold: 0,
            acknowledge_at: None,
            acknowledge_now: false,
            acknowledged_last: false,
            probe_now: false,
            heard: None,
            waiting_since: None,
            check_at: None,
            fruitless: 0,
            resumptions: 0,
            unconfirmed: false,
            round_trip: None,
            memory: LinkMemory::new(memory),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(crate) fn is_suspended(&self) -> bool {
        matches!(self.state, State::Suspended { .. })
    }

    pub(crate) fn is_down(&self) -> bool {
        self.state == State::Down
    }

    /// Packets taken from the peer: what it is told with a resumption.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How long the newest acknowledgement took.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What a link holds, with what the session adds to it.
    pub(crate) fn load(&self, link: LinkLoad) -> LinkLoad {
        LinkLoad {
            retained_bytes: self.retained_cost,
            round_trip: self.round_trip,
            resumptions: self.resumptions,
            ..link
        }
    }

    /// Bytes kept for a replay.
    pub(crate) fn retained_bytes(&self) -> usize {
        self.retained_cost
    }

    // ---- from the transport ----

    /// Counts a packet; `false` when it was for the session alone.
    pub(crate) fn take(&mut self, now: Instant, packet: &Packet) -> Result<bool, SessionError> {
        if !self.resumable {
            return Ok(true);
        }
        self.heard = Some(now);
        if let Packet::Ack { received } = packet {
            let sent = self.acknowledged + self.replayed as u64;
            return self.acknowledge(now, *received, sent).map(|()| false);
        }
        self.received += 1;
        self.untold += 1;
        self.untold_cost += cost(packet);
        if self.untold_cost >= self.config.acknowledge_bytes
            || self.untold >= self.config.acknowledge_packets
        {
            self.acknowledge_now = true;
        } else if !self.acknowledge_now {
            self.acknowledge_at
                .get_or_insert(now + self.config.acknowledge_delay);
        }
        Ok(true)
    }

    /// The first packet since a resumption has come, so the peer knows of it: which resumption that is, counted
    /// from one. Told once.
    pub(crate) fn take_confirmation(&mut self) -> Option<u64> {
        let confirmed = self.heard.is_some() && std::mem::take(&mut self.unconfirmed);
        confirmed.then_some(self.resumptions)
    }

    fn acknowledge(&mut self, now: Instant, received: u64, sent: u64) -> Result<(), SessionError> {
        if !(self.acknowledged..=sent).contains(&received) {
            return Err(SessionError::Count {
                received,
                acknowledged: self.acknowledged,
                sent,
            });
        }
        let mut newest = None;
        while self.acknowledged < received
            && let Some(Retained { packet, sent_at }) = self.retained.pop_front()
        {
            newest = Some(sent_at);
            self.acknowledged += 1;
            self.replayed = self.replayed.saturating_sub(1);
            let cost = cost(&packet);
            self.retained_cost -= cost;
            self.memory.shrink(cost);
            self.fruitless = 0;
        }
        if let Some(sent_at) = newest {
            let round_trip = now.saturating_duration_since(sent_at);
            self.round_trip = Some(round_trip);
            self.flight.acknowledged(now, round_trip, self.acknowledged);
        }
        self.waiting_since = (self.replayed > 0).then_some(now);
        Ok(())
    }

    // ---- towards the transport ----

    /// The next packet of the session's own, or the next to be sent again.
    ///
    /// Where `others` wait behind it, an `ACK` leaves them every second place at least: a transport that takes
    /// packets no faster than they become due would carry nothing else.
    pub(crate) fn next(&mut self, now: Instant, others: bool) -> Option<Packet> {
        if !self.is_up() {
            return None;
        }
        let others = others || self.replayed < self.retained.len();
        if self.acknowledge_now && !(self.acknowledged_last && others) {
            self.acknowledge_now = false;
            self.acknowledged_last = true;
            self.acknowledge_at = None;
            self.untold = 0;
            self.untold_cost = 0;
            return Some(Packet::Ack {
                received: self.received,
            });
        }
        if let Some(retained) = self.retained.get_mut(self.replayed) {
            retained.sent_at = now;
            let packet = retained.packet.clone();
            self.replayed += 1;
            self.acknowledged_last = false;
            self.await_acknowledgement(now);
            return Some(packet);
        }
        if std::mem::take(&mut self.probe_now) {
            // Counted as any other packet, so it is acknowledged; it grants nothing to no stream.
            let probe = Packet::WindowUpdate {
                connect_id: None,
                bytes: 0,
            };
            self.sent(now, &probe);
            return Some(probe);
        }
        None
    }

    /// Whether [`Session::next`] has something.
    pub(crate) fn has_next(&self) -> bool {
        self.is_up()
            && (self.acknowledge_now || self.probe_now || self.replayed < self.retained.len())
    }

    /// Whether a new packet may be sent: nothing is left to send again, and there is room to keep it.
    pub(crate) fn may_send(&self) -> bool {
        self.is_up()
            && self.replayed == self.retained.len()
            && self.retained_cost < self.config.retained_bytes
    }

    /// Whether payload may be sent: there is no more of it under way than the path has use for.
    pub(crate) fn may_send_data(&self) -> bool {
        self.may_send() && (!self.resumable || self.flight.has_room(self.retained_cost))
    }

    /// A new packet goes to the transport.
    pub(crate) fn sent(&mut self, now: Instant, packet: &Packet) {
        if !self.resumable {
            return;
        }
        self.acknowledged_last = false;
        let cost = cost(packet);
        self.retained_cost += cost;
        self.memory.grow(cost);
        self.retained.push_back(Retained {
            packet: packet.clone(),
            sent_at: now,
        });
        let number = self.acknowledged + self.retained.len() as u64;
        self.flight.sent(self.retained_cost, number);
        self.replayed += 1;
        self.await_acknowledgement(now);
    }

    fn await_acknowledgement(&mut self, now: Instant) {
        if self.waiting_since.is_none() {
            self.waiting_since = Some(now);
            self.check_by(now + self.silence());
        }
    }

    // ---- the transport's ends and successors ----

    /// The transport is lost. `true` when the session waits for another one; else it cannot, and is to be ended.
    pub(crate) fn suspend(&mut self, now: Instant) -> bool {
        if self.is_suspended() {
            return true;
        }
        if !self.resumable || self.is_down() {
            return false;
        }
        self.state = State::Suspended {
            until: now + self.config.timeout,
        };
        self.leave_transport();
        true
    }

    /// Another transport has come, whose peer took `received` packets.
    pub(crate) fn resume(&mut self, now: Instant, received: u64) -> Result<(), SessionError> {
        if !self.resumable || self.is_down() {
            return Err(SessionError::Ended);
        }
        let sent = self.acknowledged + self.retained.len() as u64;
        let (before, fruitless) = (self.acknowledged, self.fruitless);
        self.acknowledge(now, received, sent)?;
        if self.acknowledged == before {
            self.fruitless = (fruitless + 1).min(4);
        }
        self.leave_transport();
        self.state = State::Up;
        self.flight.restart();
        self.replayed = 0;
        // The peer learns by it that this transport is in use.
        self.acknowledge_now = true;
        self.resumptions += 1;
        self.unconfirmed = true;
        self.heard_at_first(now);
        Ok(())
    }

    /// Begins to watch the peer; a driver calls it when the tunnel is established.
    pub(crate) fn heard_at_first(&mut self, now: Instant) {
        if self.resumable {
            self.heard = None;
            self.check_at = Some(now + self.config.idle_probe);
        }
    }

    fn leave_transport(&mut self) {
        self.acknowledge_at = None;
        self.acknowledge_now = false;
        self.acknowledged_last = false;
        self.probe_now = false;
        self.heard = None;
        self.waiting_since = None;
        self.check_at = None;
        self.untold = 0;
        self.untold_cost = 0;
    }

    /// The session is over: nothing is kept any more.
    pub(crate) fn end(&mut self) {
        self.state = State::Down;
        self.leave_transport();
        self.retained.clear();
        self.replayed = 0;
        self.memory.shrink(self.retained_cost);
        self.retained_cost = 0;
    }

    // ---- time ----

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Suspended { until } => Some(until),
            State::Up => earlier(self.acknowledge_at, self.check_at),
            State::Down => None,
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> SessionTimeout {
        match self.state {
            State::Suspended { until } if until <= now => return SessionTimeout::Expired,
            State::Suspended { .. } | State::Down => return SessionTimeout::None,
            State::Up => {}
        }
        if self.acknowledge_at.is_some_and(|at| at <= now) {
            self.acknowledge_at = None;
            self.acknowledge_now = true;
        }
        if self.check_at.is_some_and(|at| at <= now) {
            return self.check(now);
        }
        SessionTimeout::None
    }

    /// Whether the peer is still there.
    fn check(&mut self, now: Instant) -> SessionTimeout {
        self.check_at = None;
        if let Some(since) = self.waiting_since {
            let last = self.heard.map_or(since, |heard| heard.max(since));
            let limit = last + self.silence();
            if limit <= now {
                return SessionTimeout::Silent;
            }
            self.check_at = Some(limit);
        } else {
            let quiet = self
                .heard
                .map_or(now, |heard| heard + self.config.idle_probe);
            if quiet <= now {
                self.probe_now = true;
                self.check_at = Some(now + self.silence());
            } else {
                self.check_at = Some(quiet);
            }
        }
        SessionTimeout::None
    }

    fn check_by(&mut self, at: Instant) {
        self.check_at = earlier(self.check_at, Some(at));
    }

    /// Longer after each resumption that led to nothing: a path may be so slow that one packet takes longer.
    fn silence(&self) -> Duration {
        self.config.silence_timeout * 2_u32.saturating_pow(self.fruitless.saturating_sub(1))
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What keeping a packet costs, in bytes.
fn cost(packet: &Packet) -> usize {
    let content = match packet {
        Packet::Data { data, .. } => data.len(),
        Packet::DialRequest {
            protocol, address, ..
        } => protocol.len() + address.len(),
        Packet::DialResponse { error, .. } | Packet::CloseResponse { error, .. } => error.len(),
        Packet::Reset { text, .. } => text.len(),
        Packet::CloseRequest { .. }
        | Packet::CloseDial { .. }
        | Packet::Drain
        | Packet::WindowUpdate { .. }
        | Packet::CloseWrite { .. }
        | Packet::Ack { .. } => 0,
    };
    content + PACKET_COST
}
