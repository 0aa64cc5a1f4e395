//! `NO_PROXY`: what is reached without a proxy (golang.org/x/net/http/httpproxy).

use std::net::IpAddr;

use super::address::split_host_port;

/// The entries of `NO_PROXY`.
#[derive(Clone, Debug, Default)]
pub(super) struct NoProxy(Vec<Exemption>);

#[derive(Clone, Debug)]
enum Exemption {
    /// `*`
    All,
    /// `10.0.0.0/8`
    Network { base: IpAddr, bits: u8 },
    /// `10.0.0.1`, `10.0.0.1:443`
    Address { ip: IpAddr, port: Option<u16> },
    /// `example.org` (with what is below it), `.example.org` and `*.example.org` (only what is below).
    Domain {
        /// With the leading dot.
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl NoProxy {
    /// Reads a comma list; entries that make no sense are passed over, as in Go.
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split(',').map(|entry| entry.trim().to_lowercase());
        Self(entries.filter_map(|entry| exemption(&entry)).collect())
    }

    /// Whether `host` is reached directly. Loopback always is.
    pub(super) fn exempts(&self, host: &str, port: u16) -> bool {
        if host == "localhost" {
            return true;
        }
        let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        if ip.is_some_and(|ip| ip.is_loopback()) {
            return true;
        }
        let name = host.trim().to_lowercase();
        self.0
            .iter()
            .any(|exemption| exemption.covers(&name, ip, port))
    }
}

impl Exemption {
    fn covers(&self, name: &str, ip: Option<IpAddr>, port: u16) -> bool {
        let port_fits = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network { base, bits } => ip.is_some_and(|ip| contains(*base, *bits, ip)),
            Self::Address {
                ip: wanted,
                port: wanted_port,
            } => ip == Some(*wanted) && port_fits(wanted_port),
            Self::Domain {
                suffix,
                itself,
                port: wanted_port,
            } => {
                let fits = name.ends_with(suffix.as_str()) || (*itself && name == &suffix[1..]);
                ip.is_none() && fits && port_fits(wanted_port)
            }
        }
    }
}

fn exemption(entry: &str) -> Option<Exemption> {
    if entry.is_empty() {
        return None;
    }
    if entry == "*" {
        return Some(Exemption::All);
    }
    if let Some(network) = network(entry) {
        return Some(network);
    }
    let (host, port) = match split_host_port(entry) {
        // A port that is none matches nothing.
        Ok((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        Err(_) => (entry, None),
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Exemption::Address {
            ip: ip.to_canonical(),
            port,
        });
    }
    let host = host
        .strip_prefix('*')
        .filter(|rest| rest.starts_with('.'))
        .unwrap_or(host);
    match host.as_bytes() {
        [] => None,
        [b'.', ..] => Some(Exemption::Domain {
            suffix: host.to_owned(),
            itself: false,
            port,
        }),
        [_, ..] => Some(Exemption::Domain {
            suffix: format!(".{host}"),
            itself: true,
            port,
        }),
    }
}

fn network(entry: &str) -> Option<Exemption> {
    let (base, bits) = entry.split_once('/')?;
    let (base, bits) = (base.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
    let width = if base.is_ipv4() { 32 } else { 128 };
    (bits <= width).then_some(Exemption::Network { base, bits })
}

fn contains(base: IpAddr, bits: u8, ip: IpAddr) -> bool {
    match (base, ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            let differing = base.to_bits() ^ ip.to_bits();
            differing.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => {
            let differing = base.to_bits() ^ ip.to_bits();
            differing.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_exempt_what_they_do_in_go() {
        let cases = [
            // entry, host, port, direct
            ("", "example.org", 443, false),
            ("", "localhost", 443, true),
            ("", "127.8.9.1", 443, true),
            ("", "::1", 443, true),
            ("*", "example.org", 443, true),
            ("example.org", "example.org", 443, true),
            ("example.org", "a.example.org", 443, true),
            ("example.org", "anexample.org", 443, false),
            (" Example.ORG ,x", "EXAMPLE.org", 443, true),
            (".example.org", "example.org", 443, false),
            (".example.org", "a.example.org", 443, true),
            ("*.example.org", "example.org", 443, false),
            ("*.example.org", "a.example.org", 443, true),
            ("example.org:8091", "example.org", 8091, true),
            ("example.org:8091", "example.org", 443, false),
            ("example.org:x", "example.org", 443, false),
            ("10.0.0.1", "10.0.0.1", 443, true),
            ("10.0.0.1:8091", "10.0.0.1", 443, false),
            ("10.0.0.1:8091", "10.0.0.1", 8091, true),
            ("10.0.0.0/8", "10.255.0.1", 443, true),
            ("10.0.0.0/8", "11.0.0.1", 443, false),
            ("0.0.0.0/0", "192.0.2.1", 443, true),
            ("0.0.0.0/0", "2001:db8::1", 443, false),
            ("10.0.0.0/33", "10.0.0.0", 443, false),
            ("2001:db8::/32", "2001:db8:1::1", 443, true),
            ("[2001:db8::1]:8091", "2001:db8::1", 8091, true),
            ("2001:db8::1", "2001:db8::1", 443, true),
            ("10", "10.0.0.1", 443, false),
            (":443,,", "example.org", 443, false),
        ];
        for (entries, host, port, direct) in cases {
            assert_eq!(
                NoProxy::parse(entries).exempts(host, port),
                direct,
                "{entries:?} {host}:{port}"
            );
        }
    }
}
