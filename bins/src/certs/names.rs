//! The names a server's certificate is valid for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use rustls::pki_types::DnsName;
use thiserror::Error;

/// A name in a certificate's subject alternative names: a DNS name or an IP address.
///
/// A DNS name may have `*` as its first label (RFC 9525, section 6.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// Matches a host dialled by this name.
    Dns(String),
    /// Matches a host dialled by this address.
    Ip(IpAddr),
}

/// The text is neither a DNS name nor an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is neither a DNS name nor an IP address; give the bare host, without scheme or port"
)]
pub struct InvalidSubjectName(String);

impl SubjectName {
    /// The names of the machine itself: `localhost`, `127.0.0.1` and `::1`.
    #[must_use]
    pub fn loopback() -> Vec<Self> {
        vec![
            Self::Dns("localhost".to_owned()),
            Self::Ip(Ipv4Addr::LOCALHOST.into()),
            Self::Ip(Ipv6Addr::LOCALHOST.into()),
        ]
    }
}

impl FromStr for SubjectName {
    type Err = InvalidSubjectName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let host = text.strip_prefix("*.").unwrap_or(text);
        match DnsName::try_from(host) {
            Ok(_) => Ok(Self::Dns(text.to_owned())),
            Err(_) => Err(InvalidSubjectName(text.to_owned())),
        }
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        let dns = |name: &str| SubjectName::Dns(name.to_owned());
        assert_eq!("proxy.example".parse(), Ok(dns("proxy.example")));
        assert_eq!("*.example".parse(), Ok(dns("*.example")));
        assert_eq!(
            "10.0.0.1".parse::<SubjectName>().unwrap(),
            SubjectName::Ip("10.0.0.1".parse().unwrap())
        );
        assert_eq!(
            "fe80::1".parse::<SubjectName>().unwrap().to_string(),
            "fe80::1"
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "*", "a b", "https://a", "host:8091", "a.*.b", "[::1]"] {
            assert_eq!(
                text.parse::<SubjectName>(),
                Err(InvalidSubjectName(text.to_owned()))
            );
        }
    }
}
