//! The ID by which a server or an agent is known.

use std::env;

use rustls::crypto::aws_lc_rs;

/// The ID when no flag gives one: the environment variable's if it isn't empty, else a fresh random UUID.
pub(super) fn default_id(variable: &str) -> String {
    env::var(variable)
        .ok()
        .filter(|id| !id.is_empty())
        .unwrap_or_else(random_uuid)
}

/// A version 4 UUID (RFC 9562, section 5.4).
fn random_uuid() -> String {
    let mut bytes = [0; 16];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the system has random numbers once it has booted");
    let bits = u128::from_be_bytes(bytes);
    let version_and_variant = 0x4 << 76 | 0b10 << 62;
    let bits = bits & !(0xf << 76 | 0b11 << 62) | version_and_variant;
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::random_uuid;

    #[test]
    fn random_uuids_have_their_form_and_differ() {
        let uuid = random_uuid();
        let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
        assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        assert_ne!(uuid, random_uuid());
    }
}
