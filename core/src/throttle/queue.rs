//! Dials that wait for their turn.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::Dialling;

/// Names a dial that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(u64);

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) id: WaiterId,
    pub(super) dialling: Dialling,
    /// It is refused then; `None` for never.
    until: Option<Instant>,
}

/// A queue for each frontend, which take turns: one with a thousand dials keeps another with one waiting for one dial.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<String, VecDeque<Waiter>>,
    /// Frontends in the order of their turns.
    turns: VecDeque<String>,
    len: usize,
    next: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn frontends(&self) -> usize {
        self.turns.len()
    }

    pub(super) fn has(&self, frontend: &str) -> bool {
        self.waiting.contains_key(frontend)
    }

    pub(super) fn push(&mut self, dialling: Dialling, until: Option<Instant>) -> WaiterId {
        let id = WaiterId(self.next);
        self.next += 1;
        let frontend = dialling.frontend.clone();
        let waiter = Waiter {
            id,
            dialling,
            until,
        };
        let queue = self.waiting.entry(frontend.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(frontend);
        }
        queue.push_back(waiter);
        self.len += 1;
        id
    }

    /// The dial whose turn it is.
    pub(super) fn front(&self) -> Option<&Dialling> {
        let queue = self.waiting.get(self.turns.front()?)?;
        queue.front().map(|waiter| &waiter.dialling)
    }

    /// Each frontend's oldest.
    pub(super) fn heads(&self) -> impl Iterator<Item = &Dialling> {
        let queues = self.waiting.values();
        queues.filter_map(|queue| queue.front().map(|waiter| &waiter.dialling))
    }

    /// It is served; the next frontend's turn.
    pub(super) fn pop_front(&mut self) -> Option<WaiterId> {
        let frontend = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&frontend)?;
        let waiter = queue.pop_front()?;
        self.len -= 1;
        if queue.is_empty() {
            self.waiting.remove(&frontend);
        } else {
            self.turns.push_back(frontend);
        }
        Some(waiter.id)
    }

    /// It can't be served now; the next frontend's turn.
    pub(super) fn skip(&mut self) {
        self.turns.rotate_left(self.turns.len().min(1));
    }

    pub(super) fn remove(&mut self, id: WaiterId) {
        self.retain(|waiter| waiter.id != id);
    }

    /// Takes out who has waited for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Waiter> {
        self.retain(|waiter| waiter.until.is_none_or(|until| now < until))
    }

    /// When the first has waited for too long.
    pub(super) fn first_expiry(&self) -> Option<Instant> {
        // All wait equally long, so a frontend's oldest is the first of it.
        let queues = self.waiting.values();
        queues.filter_map(|queue| queue.front()?.until).min()
    }

    fn retain(&mut self, stays: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let mut gone = Vec::new();
        for queue in self.waiting.values_mut() {
            if queue.iter().all(&stays) {
                continue;
            }
            for waiter in std::mem::take(queue) {
                if stays(&waiter) {
                    queue.push_back(waiter);
                } else {
                    gone.push(waiter);
                }
            }
        }
        self.len -= gone.len();
        self.waiting.retain(|_, queue| !queue.is_empty());
        let waiting = &self.waiting;
        self.turns.retain(|frontend| waiting.contains_key(frontend));
        gone
    }
}
