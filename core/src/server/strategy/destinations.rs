//! Which agents name a destination among their identifiers, as `destHost` asks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::backends::{Backends, LinkState};
use crate::ids::LinkId;

/// Links by identifier.
///
/// Addresses are compared as addresses, so that `fd00::7` and `FD00:0::7` are one; names are compared letter
/// by letter, as the reference compares everything.
#[derive(Debug, Default)]
pub(in crate::server) struct Destinations {
    addresses: BTreeMap<IpAddr, Backends>,
    names: BTreeMap<String, Backends>,
}

impl Destinations {
    pub(in crate::server) fn add(&mut self, identifier: &str, link: LinkId, state: LinkState) {
        let backends = match address(identifier) {
            Some(address) => self.addresses.entry(address).or_default(),
            None => self.names.entry(identifier.to_owned()).or_default(),
        };
        backends.add(link, state);
    }

    pub(in crate::server) fn remove(&mut self, identifier: &str, link: LinkId) {
        let Some(backends) = self.backends_mut(identifier) else {
            return;
        };
        backends.remove(link);
        if backends.is_empty() {
            match address(identifier) {
                Some(address) => self.addresses.remove(&address),
                None => self.names.remove(identifier),
            };
        }
    }

    pub(in crate::server) fn set_state(
        &mut self,
        identifier: &str,
        link: LinkId,
        state: LinkState,
    ) {
        if let Some(backends) = self.backends_mut(identifier) {
            backends.set_state(link, state);
        }
    }

    /// The links for `host:port`.
    pub(in crate::server) fn of(&self, destination: &str) -> Option<&Backends> {
        let host = without_port(destination);
        match address(host) {
            Some(address) => self.addresses.get(&address),
            None => self.names.get(host),
        }
    }

    /// Different identifiers known.
    pub(in crate::server) fn len(&self) -> usize {
        self.addresses.len() + self.names.len()
    }

    fn backends_mut(&mut self, identifier: &str) -> Option<&mut Backends> {
        match address(identifier) {
            Some(address) => self.addresses.get_mut(&address),
            None => self.names.get_mut(identifier),
        }
    }
}

/// The address that a text stands for; an IPv4 address in IPv6 clothes is the IPv4 address.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

/// The host of a destination (Konnectivity server, `pkg/util/net.go`, `RemovePortFromHost`), but for `[::1]`
/// without a port, which the reference cuts to `:`.
pub(crate) fn without_port(destination: &str) -> &str {
    let is_ipv6 = destination.bytes().filter(|byte| *byte == b':').count() >= 2;
    let host = if !is_ipv6 {
        destination.split(':').next()
    } else if destination.contains('[') && !destination.ends_with(']') {
        destination.rsplit_once(':').map(|(host, _)| host)
    } else {
        Some(destination)
    };
    host.unwrap_or(destination).trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    #[test]
    fn d33_ports_are_cut_off_with_or_without_brackets() {
        for (destination, host) in [
            ("host:80", "host"),
            ("host", "host"),
            ("", ""),
            (":80", ""),
            ("10.0.0.1:443", "10.0.0.1"),
            ("[::1]:443", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("fd00::7", "fd00::7"),
            ("[fe80::1%eth0]:80", "fe80::1%eth0"),
            ("[host]:80", "host"),
        ] {
            assert_eq!(without_port(destination), host, "{destination}");
        }
    }

    #[test]
    fn d33_addresses_match_in_any_spelling_and_names_only_as_written() {
        let mut destinations = Destinations::default();
        let add = |destinations: &mut Destinations, identifier, link| {
            destinations.add(identifier, LinkId(link), LinkState::Connected);
        };
        add(&mut destinations, "FD00:0:0::7", 1);
        add(&mut destinations, "Node.example", 2);
        add(&mut destinations, "10.0.0.1", 3);
        for (destination, link) in [
            ("[fd00::7]:443", Some(1)),
            ("[fd00:0::0007]", Some(1)),
            ("fd00::8", None),
            ("Node.example:80", Some(2)),
            ("node.example:80", None),
            ("Node.example.:80", None),
            ("10.0.0.1:80", Some(3)),
            ("[::ffff:10.0.0.1]:80", Some(3)),
            ("010.0.0.1:80", None),
        ] {
            assert_eq!(
                destinations.of(destination).and_then(Backends::pick),
                link.map(|link| (LinkId(link), LinkState::Connected)),
                "{destination}"
            );
        }
    }

    quickcheck! {
        fn a_port_never_changes_the_host(host: String, port: u16) -> bool {
            let bare = host.replace([':', '[', ']'], "");
            without_port(&format!("{bare}:{port}")) == bare
                && without_port(&format!("[::{bare}]:{port}")) == format!("::{bare}")
        }
    }
}
