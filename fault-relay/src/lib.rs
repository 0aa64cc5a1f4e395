//! The network between agents and servers, with its faults: a TCP relay that cuts, freezes, delays and throttles, each
//! direction on its own. For tests and measurements.
//!
//! What passes is never changed, reordered or dropped: TCP would mend that. A connection that is frozen stays open,
//! as it does behind a router that has failed; what is sent meanwhile waits in the sockets.

mod carry;
mod direction;
mod relay;
#[cfg(test)]
mod tests;

pub use direction::Direction;
pub use relay::Relay;
