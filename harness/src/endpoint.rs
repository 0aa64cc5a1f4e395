//! The TCP services that agents dial.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::pipe::{Piece, Pipe, PipeConfig, PipeEnd};

/// What happens when an agent dials an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DialOutcome {
    /// Connected at once.
    #[default]
    Accept,
    /// Connected after this time.
    AcceptAfter(Duration),
    /// Refused at once, in these words.
    Refuse(String),
    /// Neither connected nor refused.
    Ignore,
}

/// What the service at an address does.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What becomes of dials.
    pub dial: DialOutcome,
    /// Sent as soon as the connection is there.
    pub greeting: Bytes,
    /// Closes as soon as the greeting is sent.
    pub close_after_greeting: bool,
    /// Reads what comes; otherwise it waits until told to.
    pub reading: bool,
    /// Sends back what it reads.
    pub echo: bool,
    /// Of the connection, each way.
    pub pipes: PipeConfig,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            dial: DialOutcome::Accept,
            greeting: Bytes::new(),
            close_after_greeting: false,
            reading: true,
            echo: false,
            pipes: PipeConfig::default(),
        }
    }
}

/// Every service, and every connection there ever was to one.
#[derive(Debug, Default)]
pub struct Endpoints {
    behaviours: BTreeMap<String, Behaviour>,
    connections: Vec<Endpoint>,
}

impl Endpoints {
    /// Sets what the service at `address` does from now on; by default it accepts, reads and says nothing.
    pub fn behave(&mut self, address: &str, behaviour: Behaviour) {
        self.behaviours.insert(address.to_owned(), behaviour);
    }

    pub(crate) fn behaviour(&self, address: &str) -> Behaviour {
        self.behaviours.get(address).cloned().unwrap_or_default()
    }

    pub(crate) fn connect(&mut self, address: &str) -> usize {
        let endpoint = Endpoint::new(address, self.behaviour(address));
        self.connections.push(endpoint);
        self.connections.len() - 1
    }

    pub(crate) fn get(&mut self, connection: usize) -> &mut Endpoint {
        &mut self.connections[connection]
    }

    /// The latest connection to `address`.
    ///
    /// # Panics
    ///
    /// When there was none.
    pub fn at(&mut self, address: &str) -> &mut Endpoint {
        self.connections
            .iter_mut()
            .rev()
            .find(|endpoint| endpoint.address == address)
            .unwrap_or_else(|| panic!("nobody connected to {address}"))
    }

    /// How many connections there were to `address`.
    #[must_use]
    pub fn count(&self, address: &str) -> usize {
        self.connections
            .iter()
            .filter(|endpoint| endpoint.address == address)
            .count()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.connections.iter_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.connections.iter()
    }
}

/// One accepted connection, as the service sees it.
#[derive(Debug)]
pub struct Endpoint {
    address: String,
    /// From the agent.
    pub inbox: Pipe,
    /// To the agent.
    pub outbox: Pipe,
    to_send: BytesMut,
    received: Vec<u8>,
    sent: usize,
    reading: bool,
    echo: bool,
    finishing: bool,
    finished: bool,
    saw: Option<PipeEnd>,
}

impl Endpoint {
    fn new(address: &str, behaviour: Behaviour) -> Self {
        Self {
            address: address.to_owned(),
            inbox: Pipe::new(behaviour.pipes.clone()),
            outbox: Pipe::new(behaviour.pipes),
            to_send: BytesMut::from(&behaviour.greeting[..]),
            received: Vec::new(),
            sent: 0,
            reading: behaviour.reading,
            echo: behaviour.echo,
            finishing: behaviour.close_after_greeting,
            finished: false,
            saw: None,
        }
    }

    /// The address that was dialled.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends bytes as soon as there is room.
    pub fn send(&mut self, data: &[u8]) {
        if !self.finishing {
            self.to_send.extend_from_slice(data);
        }
    }

    /// Starts or stops reading.
    pub fn read(&mut self, reading: bool) {
        self.reading = reading;
    }

    /// Sends FIN behind all that it still has to send; it goes on reading.
    pub fn finish(&mut self) {
        self.finishing = true;
    }

    /// Resets the connection.
    pub fn reset(&mut self, now: Instant) {
        self.finishing = true;
        self.finished = true;
        self.to_send.clear();
        self.outbox.reset(now);
        self.inbox.break_off();
        self.saw.get_or_insert(PipeEnd::Reset);
    }

    /// All that it has read.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// Bytes it has handed to its socket.
    #[must_use]
    pub fn sent_bytes(&self) -> usize {
        self.sent
    }

    /// How the agent's side ended, if it has.
    #[must_use]
    pub fn saw_end(&self) -> Option<PipeEnd> {
        self.saw
    }

    /// It has ended its side.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        self.finishing
    }

    pub(crate) fn run(&mut self, now: Instant) -> bool {
        let mut moved = false;
        while self.reading
            && self.saw.is_none()
            && let Some(piece) = self.inbox.read(now, usize::MAX)
        {
            moved = true;
            match piece {
                Piece::Data(data) => {
                    self.received.extend_from_slice(&data);
                    if self.echo && !self.finishing {
                        self.to_send.extend_from_slice(&data);
                    }
                }
                Piece::End(end) => {
                    // As most services: what is left is sent, then the connection ends.
                    self.saw = Some(end);
                    self.finishing = true;
                }
            }
        }
        if self.outbox.is_broken() {
            self.to_send.clear();
        }
        while !self.to_send.is_empty() && self.outbox.room() > 0 {
            let length = self.to_send.len().min(self.outbox.room());
            self.sent += length;
            self.outbox
                .write(now, self.to_send.split_to(length).freeze());
            moved = true;
        }
        if self.finishing && !self.finished && self.to_send.is_empty() {
            self.finished = true;
            self.outbox.finish(now);
            moved = true;
        }
        moved
    }

    pub(crate) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let inbound = if self.reading && self.saw.is_none() {
            self.inbox.next_arrival(now)
        } else {
            None
        };
        // The agent's task may wait for the other direction.
        [inbound, self.outbox.next_arrival(now)]
            .into_iter()
            .flatten()
            .min()
    }
}
