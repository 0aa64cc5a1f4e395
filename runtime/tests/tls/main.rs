//! TLS configurations: files good and bad, and handshakes between the two ends.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod files;
mod handshakes;
mod pki;
