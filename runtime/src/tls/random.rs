//! Randomness for secrets.

/// Bytes that nobody can foresee, from the generator of the TLS library; `None` when the system has none to give.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}
