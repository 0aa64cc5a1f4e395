//! Addresses and certificates as the options of both daemons have them.

use std::fmt;
use std::path::PathBuf;

/// Where a listener binds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenAddress {
    /// An address or name; empty for every address of the machine.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// As Go joins host and port: an address with colons in brackets.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// A certificate with the key that proves it, both PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificatePair {
    /// The certificate, with those between it and the authority's.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl CertificatePair {
    /// The pair of two flags, unless both are empty.
    pub(super) fn from_flags(certificate: &str, key: &str) -> Option<Self> {
        (!certificate.is_empty() || !key.is_empty()).then(|| Self {
            certificate: certificate.into(),
            key: key.into(),
        })
    }
}

/// The path of a flag that may be left empty.
pub(super) fn path_from_flag(path: &str) -> Option<PathBuf> {
    (!path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::ListenAddress;

    #[test]
    fn hosts_with_colons_stand_in_brackets() {
        let address = |host: &str| ListenAddress {
            host: host.to_owned(),
            port: 80,
        };
        assert_eq!(address("::1").to_string(), "[::1]:80");
        assert_eq!(address("127.0.0.1").to_string(), "127.0.0.1:80");
        assert_eq!(address("").to_string(), ":80");
    }
}
