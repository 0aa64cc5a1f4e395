//! What will happen in the network by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::connection::{ConnectionId, Side};

/// Happenings in the order of their time; those of one time in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    happenings: BTreeMap<(Duration, u64), Happening>,
    added: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Happening {
    /// What this end has sent first may be there.
    Arrival(ConnectionId, Side),
    /// A connection that nobody has answered is asked for again.
    SynAgain(ConnectionId),
    /// Keep-alive asks whether the other end still knows the connection.
    Probed(ConnectionId, Side),
    /// The end has waited long enough for a peer that is out of reach since that time.
    GivesUp(ConnectionId, Side, Duration),
}

impl Agenda {
    pub(crate) fn add(&mut self, at: Duration, happening: Happening) {
        self.happenings.insert((at, self.added), happening);
        self.added += 1;
    }

    pub(crate) fn earliest(&self) -> Option<Duration> {
        self.happenings.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next that happens at `now` or earlier.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Happening> {
        let first = self.happenings.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
