//! What has to be known of HTTP/2 beside what the HTTP/2 library does, walked over the raw byte stream.
//!
//! Nothing here keeps bytes back or copies them: the state between chunks is of a fixed size, and DATA frames
//! cost the same whatever their length.

mod authority;
mod frames;
mod hpack;
mod pings;

pub use authority::AuthorityRewriter;
pub use pings::{PingEnforcer, PingPolicy, TooManyPings};
