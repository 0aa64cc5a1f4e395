//! What a dial is for, and what rules say of it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::glob::Glob;
use super::network::Network;

/// Where a frontend wants to go, as far as that can be told before an agent resolves names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    host: Host,
    /// `None` where it is left to the agent: missing, or the name of a service.
    port: Option<u16>,
}

/// The host of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// An address, never an IPv4 address in IPv6 clothes, and without its zone.
    Address(IpAddr),
    /// A name in lower case, without the root's dot: it may lead to any address.
    Name(String),
    /// Something that resolvers may read in several ways.
    Unclear,
}

/// Whether something said of a destination holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Holds {
    No,
    /// It depends on what the agent finds.
    Perhaps,
    Yes,
}

impl Destination {
    /// Reads `host:port` as agents do; whatever text that is.
    #[must_use]
    pub fn parse(address: &str) -> Self {
        let (host, port) = split(address);
        Self {
            host: Host::parse(host),
            port: port.and_then(port_number),
        }
    }

    /// The address, where it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Address(address) => Some(address),
            Host::Name(_) | Host::Unclear => None,
        }
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Address(address.ip().to_canonical()),
            port: Some(address.port()),
        }
    }
}

/// The host and the port; `None` for the latter where the agent would find none.
fn split(address: &str) -> (&str, Option<&str>) {
    let unclear = ("", None);
    if let Some(rest) = address.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => unclear,
        };
    }
    match address.rsplit_once(':') {
        // An agent refuses it, as what it may mean is not clear; an address is one all the same.
        Some((host, _)) if host.contains(':') => (address, None),
        Some((host, port)) => (host, Some(port)),
        None => (address, None),
    }
}

fn port_number(port: &str) -> Option<u16> {
    let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
    port.parse().ok().filter(|_| is_number)
}

impl Host {
    fn parse(host: &str) -> Self {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Self::Address(address.to_canonical());
        }
        if let Some((address, _zone)) = host.split_once('%') {
            let address = address.parse::<Ipv6Addr>();
            return address.map_or(Self::Unclear, |address| {
                Self::Address(IpAddr::from(address).to_canonical())
            });
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let is_usual = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        let last = name.rsplit('.').next().unwrap_or_default();
        // inet_aton(3) reads `127.1`, `0x7f000001` and `010.0.0.1` as addresses, and so do resolvers.
        let is_number = last.starts_with(|first: char| first.is_ascii_digit())
            && (last.starts_with("0x") || last.bytes().all(|digit| digit.is_ascii_digit()));
        if name.is_empty() || !name.bytes().all(is_usual) || is_number {
            return Self::Unclear;
        }
        Self::Name(name)
    }
}

/// Some destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DestinationMatch {
    pub(super) hosts: Hosts,
    /// Empty for all.
    pub(super) ports: Vec<RangeInclusive<u16>>,
}

/// Some hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    All,
    /// Names, in lower case; addresses have none.
    Named(Glob),
    In(Network),
}

impl DestinationMatch {
    pub(super) fn holds(&self, destination: &Destination) -> Holds {
        self.hosts
            .hold(&destination.host)
            .min(self.ports_hold(destination.port))
    }

    /// Whether a connection to `address` is meant, which is what an agent found for `dialled`: nothing is left open but
    /// what address an address stands for.
    pub(super) fn holds_for(&self, dialled: &Destination, address: SocketAddr) -> Holds {
        let hosts = match &self.hosts {
            Hosts::All => Holds::Yes,
            Hosts::Named(_) => self.hosts.hold(&dialled.host),
            Hosts::In(_) => self.hosts.hold(&Host::Address(address.ip().to_canonical())),
        };
        hosts.min(self.ports_hold(Some(address.port())))
    }

    fn ports_hold(&self, port: Option<u16>) -> Holds {
        match port {
            _ if self.ports.is_empty() => Holds::Yes,
            None => Holds::Perhaps,
            Some(port) if self.ports.iter().any(|ports| ports.contains(&port)) => Holds::Yes,
            Some(_) => Holds::No,
        }
    }
}

impl Hosts {
    fn hold(&self, host: &Host) -> Holds {
        match (self, host) {
            (Self::All, _) => Holds::Yes,
            (Self::Named(glob), Host::Name(name)) if glob.matches(name) => Holds::Yes,
            (Self::Named(_), Host::Name(_) | Host::Address(_)) => Holds::No,
            (Self::In(network), Host::Address(address)) => {
                if network.contains(*address) {
                    Holds::Yes
                } else if network.may_be_reached_by(*address) {
                    Holds::Perhaps
                } else {
                    Holds::No
                }
            }
            (Self::Named(_) | Self::In(_), Host::Unclear) | (Self::In(_), Host::Name(_)) => {
                Holds::Perhaps
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_however_it_is_written() {
        let written = |text: &str| Destination::parse(text).ip().map(|ip| ip.to_string());
        for (text, address) in [
            ("10.0.0.1:80", Some("10.0.0.1")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("[10.0.0.1]:80", Some("10.0.0.1")),
            ("[::ffff:10.0.0.1]:80", Some("10.0.0.1")),
            ("[::FFFF:a00:1]:80", Some("10.0.0.1")),
            ("[::ffff:10.0.0.1%eth0]:80", Some("10.0.0.1")),
            ("[fe80::1%eth0]:80", Some("fe80::1")),
            ("fe80::1", Some("fe80::1")),
            ("[fe80:0::1]", Some("fe80::1")),
            ("a.example:80", None),
        ] {
            assert_eq!(written(text).as_deref(), address, "{text}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_dots() {
        for text in ["a.example:80", "A.Example:80", "a.example.:80", "a.example"] {
            let name = Host::Name("a.example".to_owned());
            assert_eq!(Destination::parse(text).host, name, "{text}");
        }
    }

    #[test]
    fn what_resolvers_may_take_for_something_else_is_unclear() {
        for text in [
            "",
            ":80",
            "127.1:80",
            "0x7f.1:80",
            "2130706433:80",
            "010.0.0.1:80",
            "10.0.0.1.:80",
            "[::1",
            "a%20b:1",
            "b\u{fc}cher:1",
            "a\0b:1",
            "0x7f000001:1",
            ".:1",
            "10.0.0.1%1:80",
        ] {
            assert_eq!(Destination::parse(text).host, Host::Unclear, "{text:?}");
        }
    }

    #[test]
    fn ports_are_numbers_or_left_to_the_agent() {
        for (text, port) in [
            ("a:80", Some(80)),
            ("a:0080", Some(80)),
            ("a:+80", None),
            ("a:http", None),
            ("a:", None),
            ("a", None),
            ("a:65536", None),
            ("[::1]:1", Some(1)),
            ("[::1]x:1", None),
        ] {
            assert_eq!(Destination::parse(text).port, port, "{text}");
        }
    }
}
