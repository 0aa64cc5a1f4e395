//! The network between agents and servers, with its faults: a TCP relay that cuts, freezes, delays and throttles, each
//! direction on its own.
//!
//! What passes is never changed, reordered or dropped: TCP would mend that. A connection that is frozen stays open,
//! as it does behind a router that has failed; what is sent meanwhile waits in the sockets.

mod conditions;
mod direction;
mod relay;

pub use conditions::Conditions;
pub use direction::Direction;
pub use relay::Relay;
