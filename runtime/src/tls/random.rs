//! Randomness for secrets.

use crate::runtime::NoRandomness;

/// Bytes that nobody can foresee, from the generator of the TLS library.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(bytes).map_err(|_| NoRandomness)
}
