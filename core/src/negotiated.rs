//! What both ends of a tunnel agreed on.

use crate::wire::Extensions;

/// What both ends agreed on for one link, from the `dialback-extensions` metadata of its Connect call.
///
/// The default is plain Konnectivity: nothing agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// With `flow-control/1`: the window in bytes that the peer granted us on each new stream.
    pub peer_window_bytes: Option<u64>,
    /// `dialled-address/1`: the agent tells which address it connected to.
    pub dialled_address: bool,
    /// `drain/1`: the server says when it is about to stop.
    pub drain: bool,
    /// `half-close/1`: one direction of a stream may end before the other.
    pub half_close: bool,
    /// `reset/1`: a stream that ends early says why.
    pub reset: bool,
    /// `resume/1`: streams outlive the transport.
    pub resume: bool,
}

impl Negotiated {
    /// What holds between a side that has `ours` and a peer that stated `theirs`: at the server the agent's
    /// offer, at the agent the server's answer.
    #[must_use]
    pub fn new(ours: Extensions, theirs: Extensions) -> Self {
        let agreed = ours.accept(theirs);
        Self {
            peer_window_bytes: theirs
                .flow_control
                .filter(|_| agreed.flow_control.is_some()),
            dialled_address: agreed.dialled_address,
            drain: agreed.drain,
            half_close: agreed.half_close,
            reset: agreed.reset,
            resume: agreed.resume,
        }
    }

    /// Every extension, as [`Extensions::all`]; the peer grants this window.
    #[cfg(test)]
    pub(crate) const fn all(peer_window_bytes: u64) -> Self {
        Self {
            peer_window_bytes: Some(peer_window_bytes),
            dialled_address: true,
            drain: true,
            half_close: true,
            reset: true,
            resume: true,
        }
    }
}
