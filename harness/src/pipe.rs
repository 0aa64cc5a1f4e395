//! One direction of a connection: bytes that take time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

/// How a pipe treats its bytes.
#[derive(Clone, Debug)]
pub struct PipeConfig {
    /// From the write to the arrival.
    pub delay: Duration,
    /// `None` for a line without a limit.
    pub bytes_per_second: Option<u64>,
    /// Bytes written and not yet read, above which the writer is told that there is no room.
    pub room_bytes: usize,
    /// Sizes of the pieces that a reader gets, one after the other and again from the first; cut without regard
    /// to how the bytes were written. Empty: all that has arrived.
    pub cuts: Vec<usize>,
}

impl Default for PipeConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            bytes_per_second: None,
            room_bytes: 64 * 1024,
            cuts: Vec::new(),
        }
    }
}

/// How a pipe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeEnd {
    /// In order: all that was written before was read.
    Finished,
    /// Cut.
    Reset,
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes; never none.
    Data(Bytes),
    /// The end; given again whenever asked.
    End(PipeEnd),
}

/// One direction of a TCP connection, or of an HTTP/2 stream: ordered, without loss, bounded by its room.
#[derive(Debug)]
pub struct Pipe {
    config: PipeConfig,
    in_flight: VecDeque<(Instant, Bytes)>,
    unread: usize,
    free_at: Option<Instant>,
    end: Option<(Instant, PipeEnd)>,
    broken: bool,
    stalled: bool,
    /// What is written from now on never arrives, and nobody says so.
    dead: bool,
    next_cut: usize,
}

impl Pipe {
    pub(crate) fn new(config: PipeConfig) -> Self {
        Self {
            config,
            in_flight: VecDeque::new(),
            unread: 0,
            free_at: None,
            end: None,
            broken: false,
            stalled: false,
            dead: false,
            next_cut: 0,
        }
    }

    // ---- the writer ----

    /// Bytes that may be written now. A pipe whose reader has gone takes anything and keeps nothing.
    pub(crate) fn room(&self) -> usize {
        if self.broken {
            return usize::MAX;
        }
        self.config.room_bytes.saturating_sub(self.unread)
    }

    /// The reader has gone: writing fails.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn write(&mut self, now: Instant, data: Bytes) {
        if self.end.is_some() || self.broken || data.is_empty() {
            return;
        }
        self.unread += data.len();
        if self.dead {
            return;
        }
        let sent = match self.config.bytes_per_second {
            Some(rate) => {
                let start = self.free_at.map_or(now, |free| free.max(now));
                let sent = start + Duration::from_secs_f64(data.len() as f64 / rate as f64);
                self.free_at = Some(sent);
                sent
            }
            None => now,
        };
        self.in_flight.push_back((sent + self.config.delay, data));
    }

    /// Ends the pipe behind all that was written.
    pub(crate) fn finish(&mut self, now: Instant) {
        if self.end.is_none() && !self.dead {
            let sent = self.free_at.map_or(now, |free| free.max(now));
            self.end = Some((sent + self.config.delay, PipeEnd::Finished));
        }
    }

    /// Cuts the pipe: what is under way is lost.
    pub(crate) fn reset(&mut self, now: Instant) {
        if self.dead {
            return;
        }
        self.in_flight.clear();
        self.unread = 0;
        self.end = Some((now + self.config.delay, PipeEnd::Reset));
    }

    // ---- the reader ----

    /// The next piece that has arrived, of at most `max_bytes`.
    pub(crate) fn read(&mut self, now: Instant, max_bytes: usize) -> Option<Piece> {
        if !self.readable(now) {
            return None;
        }
        let over = self.in_flight.is_empty() || self.is_reset(now);
        let Some((_, end)) = self.end.filter(|_| over) else {
            return Some(Piece::Data(self.read_data(now, max_bytes)));
        };
        Some(Piece::End(end))
    }

    fn read_data(&mut self, now: Instant, max_bytes: usize) -> Bytes {
        let cut = match self.config.cuts.len() {
            0 => usize::MAX,
            count => {
                self.next_cut = (self.next_cut + 1) % count;
                self.config.cuts[self.next_cut].max(1)
            }
        };
        let wanted = cut.min(max_bytes).max(1);
        let mut piece = BytesMut::new();
        while piece.len() < wanted
            && let Some((arrives, data)) = self.in_flight.front_mut()
            && *arrives <= now
        {
            let missing = wanted - piece.len();
            if data.len() > missing {
                piece.extend_from_slice(&data.split_to(missing));
            } else {
                piece.extend_from_slice(data);
                self.in_flight.pop_front();
            }
        }
        self.unread -= piece.len();
        piece.freeze()
    }

    /// Whether something has arrived, the end included.
    pub(crate) fn readable(&self, now: Instant) -> bool {
        !self.stalled && self.next_event().is_some_and(|at| at <= now)
    }

    /// When the next byte or the end arrives, if it is still under way.
    pub(crate) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        self.next_event().filter(|at| !self.stalled && *at > now)
    }

    fn next_event(&self) -> Option<Instant> {
        let end = self.end.map(|(at, _)| at);
        match self.in_flight.front() {
            Some((arrives, _)) if self.dead => Some(end.map_or(*arrives, |end| end.min(*arrives))),
            Some((arrives, _)) => Some(*arrives),
            None => end,
        }
    }

    /// The reader goes: nobody reads any more.
    pub(crate) fn break_off(&mut self) {
        self.broken = true;
        self.in_flight.clear();
        self.unread = 0;
    }

    /// The reader hears that the connection broke, whatever it has not read.
    pub(crate) fn is_reset(&self, now: Instant) -> bool {
        !self.stalled && matches!(self.end, Some((at, PipeEnd::Reset)) if at <= now)
    }

    // ---- the weather ----

    /// The network goes: of what is under way `kept_bytes` still arrive, and the reader hears of it after a while,
    /// or never. The writer goes on filling its socket.
    pub(crate) fn cut(&mut self, now: Instant, kept_bytes: usize, notices: Option<Duration>) {
        if std::mem::replace(&mut self.dead, true) {
            return;
        }
        self.stalled = false;
        let mut kept = 0;
        self.in_flight.retain_mut(|(_, data)| {
            data.truncate(kept_bytes - kept);
            kept += data.len();
            !data.is_empty()
        });
        self.end = notices.map(|after| (now + after, PipeEnd::Reset));
    }

    /// While stalled nothing arrives.
    pub fn stall(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Changes how the pipe treats what is written and read from now on.
    pub fn reconfigure(&mut self, config: PipeConfig) {
        self.config = config;
    }

    /// Bytes written and not yet read.
    #[must_use]
    pub fn unread_bytes(&self) -> usize {
        self.unread
    }
}
