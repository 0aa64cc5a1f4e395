//! The server's end of a tunnel: its link, and which frontends it woke.

use std::collections::BTreeSet;

use dialback_core::server::{Link, LinkConfig, LinkEvent};
use dialback_core::{Negotiated, StreamId};

/// One agent's link at the server, driven by its rules.
#[derive(Debug)]
pub struct ServerEnd {
    /// The machine, to be looked at; inputs go through the triad.
    pub link: Link,
    /// All that the link told since the beginning.
    pub events: Vec<LinkEvent>,
    /// Told since the server last looked.
    unheeded: Vec<LinkEvent>,
    woken: BTreeSet<StreamId>,
}

impl ServerEnd {
    pub(crate) fn new(config: LinkConfig, negotiated: Negotiated, first_dial: i64) -> Self {
        Self {
            link: Link::new(config, negotiated, first_dial),
            events: Vec::new(),
            unheeded: Vec::new(),
            woken: BTreeSet::new(),
        }
    }

    /// One input, then everything that it produced.
    pub(crate) fn input<T>(&mut self, input: impl FnOnce(&mut Link) -> T) -> T {
        let result = input(&mut self.link);
        while let Some(stream) = self.link.poll_wake() {
            self.woken.insert(stream);
        }
        while let Some(event) = self.link.poll_event() {
            self.unheeded.push(event.clone());
            self.events.push(event);
        }
        result
    }

    /// Whether the link woke the frontend of `stream` since this was last asked.
    pub(crate) fn take_wake(&mut self, stream: StreamId) -> bool {
        self.woken.remove(&stream)
    }

    pub(crate) fn is_woken(&self, stream: StreamId) -> bool {
        self.woken.contains(&stream)
    }

    pub(crate) fn take_events(&mut self) -> Vec<LinkEvent> {
        std::mem::take(&mut self.unheeded)
    }
}
