//! The links that share one key of a strategy's table.

use crate::ids::LinkId;

/// How fit a link is for new dials; what is smaller is chosen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkState {
    /// Serves dials.
    Connected,
    /// Announced its end: serves dials only where nobody else can.
    Draining,
    /// Its transport is lost and may come back: takes dials, which then wait, only where nothing better is.
    Suspended,
}

/// Links in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Backends(Vec<(LinkId, LinkState)>);

impl Backends {
    /// Adds a link as the youngest; one that is there stays where it is.
    pub(super) fn add(&mut self, link: LinkId, state: LinkState) {
        if self.0.iter().all(|(present, _)| *present != link) {
            self.0.push((link, state));
        }
    }

    /// Removes a link; the others keep their order.
    pub(super) fn remove(&mut self, link: LinkId) {
        self.0.retain(|(present, _)| *present != link);
    }

    pub(super) fn set_state(&mut self, link: LinkId, state: LinkState) {
        for (present, present_state) in &mut self.0 {
            if *present == link {
                *present_state = state;
            }
        }
    }

    /// The fittest link, of equals the oldest.
    pub(in crate::server) fn pick(&self) -> Option<(LinkId, LinkState)> {
        self.0.iter().copied().min_by_key(|(_, state)| *state)
    }

    /// Whether there is a link as fit as `state` or fitter.
    pub(super) fn has(&self, state: LinkState) -> bool {
        self.0.iter().any(|(_, present)| *present <= state)
    }

    /// Every link, oldest first.
    pub(in crate::server) fn iter(
        &self,
    ) -> impl ExactSizeIterator<Item = (LinkId, LinkState)> + Clone {
        self.0.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
