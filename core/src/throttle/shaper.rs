//! Bytes per second, by making their source wait.

use std::sync::Arc;
use std::time::Instant;

use super::table::State;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the frontend to the endpoint.
    ToEndpoint = 0,
    /// From the endpoint to the frontend.
    ToFrontend = 1,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ToEndpoint, Self::ToFrontend];
}

/// What the bytes of one stream pass: every limit of bytes that is for it.
///
/// Whoever passes a chunk pays for it and then waits until all that was passed before, by whomever, is paid: those who share
/// a limit take turns, a chunk each.
#[derive(Clone, Debug)]
pub struct Shaper {
    states: Vec<Arc<State>>,
    until: [Option<Instant>; 2],
}

impl Shaper {
    pub(super) fn new<'a>(states: impl Iterator<Item = &'a Arc<State>>) -> Option<Self> {
        let shapes = |state: &&Arc<State>| {
            state.shapes(Direction::ToEndpoint) || state.shapes(Direction::ToFrontend)
        };
        let states: Vec<_> = states.filter(shapes).cloned().collect();
        (!states.is_empty()).then_some(Self {
            states,
            until: [None; 2],
        })
    }

    /// So many bytes have passed.
    pub fn pass(&mut self, now: Instant, direction: Direction, bytes: usize) {
        let waits = self
            .states
            .iter()
            .map(|state| state.pass(now, direction, bytes));
        let wait = waits.max().flatten();
        self.until[direction as usize] = wait.and_then(|wait| now.checked_add(wait));
    }

    /// Until when no more bytes may pass; `None` when they may.
    #[must_use]
    pub fn waits_until(&self, now: Instant, direction: Direction) -> Option<Instant> {
        self.until[direction as usize].filter(|until| now < *until)
    }
}
