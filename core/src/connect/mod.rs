//! The HTTP-CONNECT frontend: requests in, the exact bytes of the reference's answers out.
//!
//! Only what comes before the tunnel; afterwards the socket carries raw bytes.

mod request;
mod response;
mod target;

pub use request::{MAX_HEADER_BYTES, MAX_HEADERS, Parsed, RequestParser};
pub use response::{ESTABLISHED, dial_failure, established_by};
