//! TLS for both programs: rustls configurations from the files and names that flags give.
//!
//! The cryptographic provider is aws-lc-rs, named in every configuration: nothing depends on a default of the
//! process. Files are read once, when a configuration is made; to take up renewed files, make a new one and put it in
//! the [`Reloadable`] that connections take theirs from.

mod client;
mod error;
mod expiry;
mod files;
mod handshake;
mod identity;
mod policy;
mod random;
mod reloadable;
mod server;
mod system_cas;

pub use client::ClientTls;
pub use error::{CaError, KeyPairError, TlsError};
pub use expiry::authorities_expiry;
pub use files::KeyPairFiles;
pub use handshake::HandshakeFailure;
pub(crate) use identity::{certified_names, identity};
pub use policy::{TlsPolicy, TlsPolicyError, TlsWarning};
pub(crate) use random::fill_random;
pub use reloadable::Reloadable;
pub use server::{ServerTls, TlsProtocol};
pub use system_cas::system_cas;
