//! How much may be under way: enough to keep the path busy, little enough that nothing waits long below us.

use std::time::{Duration, Instant};

/// The least bound, in bytes: twice what a peer takes before it acknowledges.
const LEAST_BYTES: usize = 512 * 1024;
/// What it starts with.
const FIRST_BYTES: usize = 1024 * 1024;
/// How long a packet may wait behind others on its way: as long as the way itself takes, within these. A fast path
/// carries a lot in 50 ms, all of which a small packet would wait behind; less than 2 ms are lost among the times that
/// two busy computers take to run a task.
const LEAST_WAIT: Duration = Duration::from_millis(2);
const MOST_WAIT: Duration = Duration::from_millis(50);
/// How long the shortest round trip seen counts as that of the path.
const MEMORY: Duration = Duration::from_secs(30);

/// A bound on what was sent and not acknowledged, which follows what the path carries.
///
/// What HTTP/2, TLS and the system's socket hold is in nobody's turn any more: a small stream waits behind it. So
/// the bound is kept near what the path carries in its shortest round trip and a target wait more, as LEDBAT
/// does (RFC 6817): it grows, at most once a round trip, where it holds the sender back, the less the longer packets
/// wait already; it shrinks in proportion where they wait longer.
#[derive(Debug)]
pub(super) struct Flight {
    most: usize,
    bound: usize,
    shortest: Option<(Duration, Instant)>,
    /// The bound was too large once: from then on it grows in small steps.
    found: bool,
    /// The bound does not change again before this packet, the first that met it, is acknowledged; `None` while
    /// none has.
    met_by: Option<u64>,
}

impl Flight {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            bound: FIRST_BYTES.min(most),
            shortest: None,
            found: false,
            met_by: None,
        }
    }

    /// Whether more may be sent while `under_way` bytes are.
    pub(super) fn has_room(&self, under_way: usize) -> bool {
        under_way < self.bound
    }

    /// The packet of this number went out, and `under_way` bytes are.
    pub(super) fn sent(&mut self, under_way: usize, number: u64) {
        if !self.has_room(under_way) {
            self.met_by.get_or_insert(number);
        }
    }

    /// The packet of this number, sent `round_trip` ago, was acknowledged.
    pub(super) fn acknowledged(&mut self, now: Instant, round_trip: Duration, number: u64) {
        let shortest = match self.shortest {
            Some((shortest, since)) if shortest <= round_trip && now < since + MEMORY => shortest,
            _ => {
                self.shortest = Some((round_trip, now));
                round_trip
            }
        };
        if self.met_by.is_none_or(|met_by| number < met_by) {
            return;
        }
        let wait = shortest.clamp(LEAST_WAIT, MOST_WAIT);
        let target = shortest + wait;
        if round_trip > target {
            let share = target.as_secs_f64() / round_trip.as_secs_f64();
            self.bound = ((self.bound as f64 * share) as usize).max(LEAST_BYTES.min(self.most));
            self.found = true;
        } else {
            let growth = if self.found {
                // The last steps are small: the bound comes to rest and does not swing about the target.
                let spare = (target - round_trip).as_secs_f64() / wait.as_secs_f64();
                (self.bound as f64 / 8.0 * spare) as usize
            } else {
                self.bound
            };
            self.bound = self.bound.saturating_add(growth).min(self.most);
        }
        self.met_by = None;
    }

    /// Another transport: what was learnt of the path may hold no more.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.most);
    }

    /// The present bound, in bytes.
    #[cfg(test)]
    pub(super) fn bound(&self) -> usize {
        self.bound
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Sends as much as it may for `seconds` over a path that carries `rate` bytes a second with this round trip;
    /// what was delivered in the last second, and how long packets waited at most then and ever.
    #[expect(clippy::disallowed_methods, reason = "the one epoch of a test")]
    fn run(rate: usize, round_trip: Duration, seconds: u64) -> (usize, Duration, Duration) {
        const PACKET: usize = 64 * 1024;
        let epoch = Instant::now();
        let mut now = epoch;
        let end = epoch + Duration::from_secs(seconds);
        let mut flight = Flight::new(64 * 1024 * 1024);
        let mut under_way: VecDeque<(Instant, Instant)> = VecDeque::new();
        let (mut free_at, mut sent, mut acknowledged) = (epoch, 0, 0);
        let (mut delivered, mut longest, mut ever) = (0, Duration::ZERO, Duration::ZERO);
        while now < end {
            while flight.has_room(under_way.len() * PACKET) {
                let start = free_at.max(now);
                free_at = start + Duration::from_secs_f64(PACKET as f64 / rate as f64);
                under_way.push_back((now, free_at + round_trip));
                sent += 1;
                flight.sent(under_way.len() * PACKET, sent);
            }
            let (sent_at, answered_at) =
                under_way.pop_front().expect("there is always room for one");
            now = answered_at;
            acknowledged += 1;
            flight.acknowledged(now, now - sent_at, acknowledged);
            let waited = now - sent_at - round_trip;
            ever = ever.max(waited);
            if now + Duration::from_secs(1) >= end {
                delivered += PACKET;
                longest = longest.max(waited);
            }
        }
        assert!(flight.bound() <= 64 * 1024 * 1024);
        (delivered, longest, ever)
    }

    #[test]
    fn a_path_is_kept_busy_and_nothing_waits_long() {
        for (rate, round_trip) in [
            (30 << 20, Duration::from_millis(200)),
            (100 << 20, Duration::from_millis(20)),
            (30 << 20, Duration::from_millis(1)),
            (10 << 20, Duration::from_millis(50)),
        ] {
            let (delivered, longest, ever) = run(rate, round_trip, 10);
            assert!(delivered >= rate * 9 / 10, "{delivered} of {rate} bytes");
            assert!(
                longest <= Duration::from_millis(60),
                "{longest:?} at {rate}"
            );
            assert!(ever <= Duration::from_millis(100), "{ever:?} at {rate}");
        }
    }

    #[test]
    fn on_a_fast_path_nothing_waits_much_longer_than_the_way_takes() {
        for round_trip in [Duration::from_micros(300), Duration::from_millis(5)] {
            let rate = 1 << 30;
            let (delivered, longest, _) = run(rate, round_trip, 5);
            assert!(delivered >= rate * 9 / 10, "{delivered} of {rate} bytes");
            let most = LEAST_WAIT.max(round_trip) * 5 / 4;
            assert!(longest <= most, "{longest:?} with {round_trip:?}");
        }
    }
}
