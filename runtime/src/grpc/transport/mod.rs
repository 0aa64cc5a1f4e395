//! The byte stream under h2: watched at both ends, and put right at the server's.

mod coalesced;
mod farewell;
mod guarded;
mod watched;

pub(crate) use guarded::Guarded;
pub(crate) use watched::Watched;
