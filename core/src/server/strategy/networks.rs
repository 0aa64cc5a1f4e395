//! Which agents name a network that a destination is in, as `destCIDR` asks.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::backends::{Backends, LinkState};
use super::destinations::{address, without_port};
use crate::ids::LinkId;
use crate::policy::{InvalidNetwork, Network};

/// Links by network, the longest prefixes first.
///
/// An IPv4 network is the IPv6 network that its addresses are mapped to, so that both spellings of an address lead to the
/// same agents (RFC 4291, section 2.5.5.2).
#[derive(Debug, Default)]
pub(in crate::server) struct Networks {
    by_length: BTreeMap<u8, BTreeMap<u128, Backends>>,
}

/// What an IPv4 prefix grows by as an IPv6 one.
const MAPPED: u8 = 96;

impl Networks {
    pub(in crate::server) fn add(&mut self, network: &str, link: LinkId, state: LinkState) {
        if let Some((prefix, length)) = parse(network) {
            let networks = self.by_length.entry(length).or_default();
            networks.entry(prefix).or_default().add(link, state);
        }
    }

    pub(in crate::server) fn remove(&mut self, network: &str, link: LinkId) {
        let Some((prefix, length)) = parse(network) else {
            return;
        };
        let Some(networks) = self.by_length.get_mut(&length) else {
            return;
        };
        if let Some(backends) = networks.get_mut(&prefix) {
            backends.remove(link);
            if backends.is_empty() {
                networks.remove(&prefix);
            }
        }
        if networks.is_empty() {
            self.by_length.remove(&length);
        }
    }

    pub(in crate::server) fn set_state(&mut self, network: &str, link: LinkId, state: LinkState) {
        if let Some((prefix, length)) = parse(network)
            && let Some(backends) = self
                .by_length
                .get_mut(&length)
                .and_then(|networks| networks.get_mut(&prefix))
        {
            backends.set_state(link, state);
        }
    }

    /// The links of each network that the destination is in, the smallest network first; none for a name.
    pub(in crate::server) fn containing(
        &self,
        destination: &str,
    ) -> impl Iterator<Item = &Backends> {
        let bits = address(without_port(destination)).map(bits);
        let lengths = self.by_length.iter().rev();
        lengths.filter_map(move |(length, networks)| networks.get(&masked(bits?, *length)))
    }

    /// Different networks known.
    pub(in crate::server) fn len(&self) -> usize {
        self.by_length.values().map(BTreeMap::len).sum()
    }
}

fn bits(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

fn masked(bits: u128, length: u8) -> u128 {
    bits & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

/// A network's bits and the length of its prefix. `None` for what is none; an agent that claims it serves nothing by it.
fn parse(network: &str) -> Option<(u128, u8)> {
    let text = network.trim();
    let network = match text.parse::<Network>() {
        // Bits behind the prefix do no harm here.
        Ok(network) | Err(InvalidNetwork::HostBits(_, network)) => network,
        Err(InvalidNetwork::Syntax(_)) => return None,
    };
    let more = if network.address().is_ipv4() {
        MAPPED
    } else {
        0
    };
    // An address alone is an identifier of another kind.
    text.contains('/')
        .then(|| (bits(network.address()), network.prefix() + more))
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn networks(claims: &[&str]) -> Networks {
        let mut networks = Networks::default();
        for (link, claim) in (1..).zip(claims) {
            networks.add(claim, LinkId(link), LinkState::Connected);
        }
        networks
    }

    fn pick(networks: &Networks, destination: &str) -> Option<u64> {
        let backends = networks.containing(destination).next()?;
        backends.pick().map(|(link, _)| link.0)
    }

    #[test]
    fn the_smallest_network_serves() {
        let networks = networks(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "fd00::/8",
            "0.0.0.0/0",
        ]);
        for (destination, link) in [
            ("10.2.0.1:443", Some(1)),
            ("10.1.9.9:443", Some(2)),
            ("10.1.2.3:443", Some(3)),
            ("[::ffff:10.1.2.3]:443", Some(3)),
            ("[fd12::1]:443", Some(4)),
            ("192.0.2.1:80", Some(5)),
            ("[2001:db8::1]:80", None),
            ("node.example:80", None),
            ("", None),
        ] {
            assert_eq!(pick(&networks, destination), link, "{destination}");
        }
        assert_eq!(networks.len(), 5);
    }

    #[test]
    fn host_bits_do_not_matter_and_nonsense_claims_nothing() {
        let networks = networks(&[
            "10.1.2.3/16",
            "10.0.0.0/33",
            "10.0.0.0",
            "x/8",
            "::/129",
            "10.0.0.0/-1",
        ]);
        assert_eq!(networks.len(), 1);
        assert_eq!(pick(&networks, "10.1.255.255:1"), Some(1));
    }

    quickcheck! {
        fn what_was_added_and_removed_leaves_nothing(claims: Vec<(u32, u8)>) -> bool {
            let mut networks = Networks::default();
            let claims: Vec<_> = claims.iter().map(|(bits, length)| format!("{}/{}", std::net::Ipv4Addr::from(*bits), length % 33)).collect();
            for (link, claim) in (0..).zip(&claims) {
                networks.add(claim, LinkId(link), LinkState::Connected);
            }
            for (link, claim) in (0..).zip(&claims) {
                networks.remove(claim, LinkId(link));
            }
            networks.by_length.is_empty()
        }

        fn an_address_is_in_the_networks_that_share_its_prefix(address: u32, network: u32, length: u8) -> bool {
            let (length, dotted) = (length % 33, std::net::Ipv4Addr::from);
            let networks = networks(&[&format!("{}/{length}", dotted(network))]);
            let shared = (address ^ network).leading_zeros() >= u32::from(length);
            pick(&networks, &format!("{}:1", dotted(address))).is_some() == shared
        }
    }
}
