//! Networks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// Addresses with a common prefix, such as `10.0.0.0/8`; an address alone is a network of one.
///
/// A network of IPv4 addresses in IPv6 clothes (`::ffff:10.0.0.0/104`) is that of the IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidNetwork {
    /// Neither an address nor an address with a length behind `/`.
    #[error(
        "{0:?} is no network: it is to be an address, or an address and a length such as 10.0.0.0/8"
    )]
    Syntax(String),
    /// There are bits behind the prefix, which usually is a slip.
    #[error("{0:?} has bits behind its prefix: did you mean {1}?")]
    HostBits(String, Network),
}

/// Where NAT64 gateways find IPv4 addresses (RFC 6052, section 2.1).
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
/// The bits of an IPv4-mapped address in front of the IPv4 address (RFC 4291, section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

impl Network {
    /// Whether `address` is in it; an IPv4 address in IPv6 clothes is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.prefix) == Some(self.address)
    }

    /// Whether a connection to `address` may end up in it, as one to an address that stands for another: the
    /// unspecified address means the local host, and a NAT64 gateway translates.
    #[must_use]
    pub fn may_be_reached_by(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            // The kernel takes it for the local host of either family.
            unspecified if unspecified.is_unspecified() => {
                self.contains(unspecified)
                    || self.contains(Ipv4Addr::LOCALHOST.into())
                    || self.contains(Ipv6Addr::LOCALHOST.into())
            }
            IpAddr::V6(address) => {
                self.contains(address.into())
                    || translated(address).is_some_and(|inner| self.contains(inner.into()))
            }
            address @ IpAddr::V4(_) => self.contains(address),
        }
    }

    /// Its first address; never an IPv4 address in IPv6 clothes.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses have in common.
    pub(crate) const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [prefix @ .., high, low] = address.segments();
    (prefix == NAT64).then(|| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

/// The first bits of an address; `None` if it has fewer.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let behind = 32_u32.checked_sub(prefix.into())?;
            let mask = u32::MAX.checked_shl(behind).unwrap_or(0);
            Some(Ipv4Addr::from(u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let behind = 128_u32.checked_sub(prefix.into())?;
            let mask = u128::MAX.checked_shl(behind).unwrap_or(0);
            Some(Ipv6Addr::from(u128::from(address) & mask).into())
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let refused = || InvalidNetwork::Syntax(text.to_owned());
        let Some((address, prefix)) = text.split_once('/') else {
            return text
                .parse::<IpAddr>()
                .map(Self::from)
                .map_err(|_| refused());
        };
        let written: IpAddr = address.parse().map_err(|_| refused())?;
        let is_number = !prefix.is_empty() && prefix.bytes().all(|digit| digit.is_ascii_digit());
        let mut prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|_| is_number)
            .ok_or_else(refused)?;
        let mut address = written;
        if written.is_ipv6() && prefix >= MAPPED_BITS && written.to_canonical().is_ipv4() {
            address = written.to_canonical();
            prefix -= MAPPED_BITS;
        }
        let first = masked(address, prefix).ok_or_else(refused)?;
        let network = Self {
            address: first,
            prefix,
        };
        if first != address {
            return Err(InvalidNetwork::HostBits(text.to_owned(), network));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use quickcheck::quickcheck;

    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_in_a_network_in_whatever_clothes() {
        for (text, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("10.0.0.0/8", "::a01:203", false),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "10.0.0.1", false),
            ("fd00::/8", "fdff::1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
        ] {
            assert_eq!(
                network(text).contains(address.parse().unwrap()),
                expected,
                "{text} {address}"
            );
        }
    }

    #[test]
    fn addresses_that_stand_for_others_are_told() {
        for (text, address) in [
            ("127.0.0.0/8", "0.0.0.0"),
            ("127.0.0.0/8", "::"),
            ("::1", "0.0.0.0"),
            ("::1", "::ffff:0.0.0.0"),
            ("169.254.0.0/16", "64:ff9b::a9fe:a9fe"),
        ] {
            let address = address.parse().unwrap();
            assert!(network(text).may_be_reached_by(address), "{text} {address}");
            assert!(!network(text).contains(address), "{text} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "a/8",
            "10.0.0/8",
        ] {
            assert!(
                matches!(text.parse::<Network>(), Err(InvalidNetwork::Syntax(_))),
                "{text}"
            );
        }
        assert_eq!(
            "10.0.0.1/8".parse::<Network>().unwrap_err().to_string(),
            "\"10.0.0.1/8\" has bits behind its prefix: did you mean 10.0.0.0/8?"
        );
    }

    quickcheck! {
        fn a_network_is_as_it_is_shown(bits: u128, prefix: u8) -> bool {
            let address = masked(Ipv6Addr::from(bits).into(), prefix % 129).unwrap();
            let shown = format!("{address}/{}", prefix % 129).parse::<Network>().unwrap();
            shown.contains(address) && shown.covers(&shown) && network(&shown.to_string()) == shown
        }
    }
}
