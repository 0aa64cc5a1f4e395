//! The model of one connection: what was sent, and what may be concluded from what arrived.

use dialback_core::DialId;

use crate::pipe::PipeEnd;
use crate::triad::{Connect, Grpc, Triad};

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Grpc(Grpc, DialId),
    Connect(Connect),
}

/// A dial, its client and its endpoint, which is the only one at its address.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) index: u8,
    pub(super) address: String,
    pub(super) client: Client,
    pub(super) client_sent: usize,
    pub(super) endpoint_sent: usize,
    /// The client asked for an orderly close.
    pub(super) client_closed: bool,
    /// The client went away, or gave the dial up.
    pub(super) client_left: bool,
    /// The endpoint ended its side in order, before it saw an end.
    pub(super) endpoint_closed: bool,
    pub(super) endpoint_reset: bool,
    /// Its client broke the protocol: only what it does to others is of interest.
    pub(super) tampered: bool,
    /// Not the first dial of its Proxy stream.
    pub(super) second: bool,
    /// Its directions end one by one.
    pub(super) half_closes: bool,
    /// Bytes already compared, up and down.
    checked: [usize; 2],
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Up,
    Down,
}

/// What the client saw of the end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Orderly,
    Broken,
}

impl Connection {
    pub(super) fn new(index: u8, client: Client, endpoint_sent: usize) -> Self {
        Self {
            index,
            address: Self::address(index),
            client,
            client_sent: 0,
            endpoint_sent,
            client_closed: false,
            client_left: false,
            endpoint_closed: false,
            endpoint_reset: false,
            tampered: false,
            second: false,
            half_closes: false,
            checked: [0; 2],
        }
    }

    /// The address of the connection with this number, dialled by no other.
    pub(super) fn address(index: u8) -> String {
        format!("endpoint-{index}:80")
    }

    /// The next bytes for the endpoint.
    pub(super) fn client_bytes(&mut self, length: usize) -> Vec<u8> {
        let from = self.client_sent;
        self.client_sent += length;
        pattern(self.index, Direction::Up, from, length)
    }

    /// The next bytes for the client.
    pub(super) fn endpoint_bytes(&mut self, length: usize) -> Vec<u8> {
        let from = self.endpoint_sent;
        self.endpoint_sent += length;
        pattern(self.index, Direction::Down, from, length)
    }

    /// What the endpoint sends first.
    pub(super) fn greeting(index: u8, length: usize) -> Vec<u8> {
        pattern(index, Direction::Down, 0, length)
    }

    pub(super) fn is_established(&self, t: &Triad) -> bool {
        t.endpoints.count(&self.address) > 0
    }

    fn received<'a>(&self, t: &'a Triad) -> &'a [u8] {
        match self.client {
            Client::Grpc(frontend, dial) => t[frontend].data(dial),
            Client::Connect(frontend) => t[frontend].received(),
        }
    }

    fn seen(&self, t: &Triad) -> Seen {
        match self.client {
            Client::Grpc(frontend, dial) => {
                match (t[frontend].closes(dial)[..].first(), t[frontend].ended()) {
                    (Some(&""), _) => Seen::Orderly,
                    (Some(_), _) | (None, Some(_)) => Seen::Broken,
                    (None, None) => Seen::Nothing,
                }
            }
            Client::Connect(frontend) => match t[frontend].ended() {
                Some(PipeEnd::Finished) => Seen::Orderly,
                Some(PipeEnd::Reset) => Seen::Broken,
                None => Seen::Nothing,
            },
        }
    }

    fn answers(&self, t: &Triad) -> Vec<bool> {
        match self.client {
            Client::Grpc(frontend, dial) => {
                let answers = t[frontend].answers(dial);
                answers.iter().map(Result::is_ok).collect()
            }
            Client::Connect(frontend) => {
                let answers = t[frontend].answers();
                answers.iter().map(Result::is_ok).collect()
            }
        }
    }

    /// What holds at any moment.
    pub(super) fn check_always(&mut self, t: &mut Triad) {
        assert!(self.answers(t).len() <= 1, "{self:?} was answered twice");
        assert!(
            t.endpoints.count(&self.address) <= 1,
            "{self:?} was dialled twice"
        );
        if self.tampered {
            return;
        }
        let down = self.received(t);
        self.check_prefix(Direction::Down, down, self.endpoint_sent);
        if self.is_established(t) {
            let up = t.endpoints.at(&self.address).received();
            self.check_prefix(Direction::Up, up, self.client_sent);
        }
    }

    /// How much has arrived.
    pub(super) fn progress(&self, t: &mut Triad) -> usize {
        let down = self.received(t).len();
        if !self.is_established(t) {
            return down;
        }
        down + t.endpoints.at(&self.address).received().len()
    }

    fn has_broken(&self, seen: &Seen, saw: Option<PipeEnd>) -> bool {
        let ended = *seen == Seen::Broken || saw == Some(PipeEnd::Reset);
        ended || self.client_left || self.endpoint_reset
    }

    /// Each direction has ended if, and only if, its sender ended it; either way all that was sent has arrived.
    fn check_halves(&self, seen: &Seen, saw: Option<PipeEnd>, received: usize, uploaded: usize) {
        assert_eq!(saw.is_some(), self.client_closed, "the upload of {self:?}");
        // The endpoint closes when it has read to the end.
        let closed = self.client_closed || self.endpoint_closed;
        assert_eq!(*seen == Seen::Orderly, closed, "the download of {self:?}");
        assert_eq!(uploaded, self.client_sent, "the upload of {self:?}");
        assert_eq!(received, self.endpoint_sent, "the download of {self:?}");
    }

    fn check_prefix(&mut self, direction: Direction, received: &[u8], sent: usize) {
        assert!(
            received.len() <= sent,
            "{direction:?}: {} of {sent} bytes arrived on {self:?}",
            received.len()
        );
        let checked = self.checked[direction as usize];
        let fresh = received.get(checked..).expect("what was read stays");
        assert!(
            fresh == pattern(self.index, direction, checked, fresh.len()),
            "{direction:?}: other bytes arrived on {self:?}"
        );
        self.checked[direction as usize] = received.len();
    }

    /// What holds once everyone reads, nothing is stalled, and nothing more happens on its own.
    ///
    /// `patient`: nobody was kept waiting for so long that a stream was cut.
    /// `lossless`: no session was lost.
    pub(super) fn check_settled(&mut self, t: &mut Triad, patient: bool, lossless: bool) {
        self.check_always(t);
        let answers = self.answers(t);
        if !(self.client_left || self.second || self.tampered) {
            assert_eq!(answers.len(), 1, "{self:?} was not answered");
        }
        if self.tampered || answers != [true] {
            return;
        }
        let (seen, received) = (self.seen(t), self.received(t).len());
        let endpoint = t.endpoints.at(&self.address);
        let (saw, uploaded) = (endpoint.saw_end(), endpoint.received().len());

        if self.half_closes && !self.has_broken(&seen, saw) {
            return self.check_halves(&seen, saw, received, uploaded);
        }
        let client_over = seen != Seen::Nothing || self.client_left;
        let endpoint_over = saw.is_some() || self.endpoint_reset;
        assert_eq!(
            client_over, endpoint_over,
            "one side of {self:?} has ended: {seen:?}, {saw:?}"
        );
        // An endpoint that does not read is cut some time after either end.
        let closed = self.client_closed || self.endpoint_closed;
        let broken = seen == Seen::Broken || saw == Some(PipeEnd::Reset) && !closed;
        if lossless && patient && broken {
            let asked = self.endpoint_reset || self.client_left;
            assert!(asked, "nobody broke {self:?}: {seen:?}, {saw:?}");
        }
        if !client_over {
            let asked = self.client_closed || self.endpoint_closed || self.endpoint_reset;
            assert!(!asked, "{self:?} does not end");
            assert_eq!(
                uploaded, self.client_sent,
                "the upload of {self:?} is stuck"
            );
            assert_eq!(
                received, self.endpoint_sent,
                "the download of {self:?} is stuck"
            );
        }
        if seen == Seen::Orderly && !self.client_closed && !self.client_left {
            assert!(self.endpoint_closed, "nobody closed {self:?}");
            assert_eq!(
                received, self.endpoint_sent,
                "the download of {self:?} is short"
            );
        }
        let upload_ended = saw == Some(PipeEnd::Finished)
            && seen == Seen::Orderly
            && self.client_closed
            && !(self.endpoint_closed || self.client_left);
        if upload_ended && patient {
            assert_eq!(
                uploaded, self.client_sent,
                "the upload of {self:?} is short"
            );
        }
    }
}

/// Bytes that tell connection, direction and place, so that none can pass for another.
fn pattern(index: u8, direction: Direction, from: usize, length: usize) -> Vec<u8> {
    let seed = u64::from(index) * 2 + u64::from(matches!(direction, Direction::Up));
    (from..from + length)
        .map(|at| {
            let mixed = (at as u64 ^ (seed << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed.to_be_bytes()[0]
        })
        .collect()
}
