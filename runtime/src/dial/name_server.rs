//! The name server, for texts of failed look-ups: Go names it, and operators look at it first.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

/// A resolver configuration is read up to this size.
const MAX_BYTES: u64 = 64 * 1024;

/// The first server that the system's resolver asks, if its configuration tells; read once.
pub(super) fn name_server() -> Option<SocketAddr> {
    static SERVER: OnceLock<Option<SocketAddr>> = OnceLock::new();
    *SERVER.get_or_init(|| {
        let mut text = Vec::new();
        let file = File::open("/etc/resolv.conf").ok()?;
        file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
        first_server(&String::from_utf8_lossy(&text))
    })
}

/// resolv.conf(5): `nameserver` and an address.
fn first_server(text: &str) -> Option<SocketAddr> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        let ip: IpAddr = address.parse().ok()?;
        Some(SocketAddr::new(ip, 53))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_usable_server_is_taken() {
        let text = "# nameserver 192.0.2.9\nsearch a b\nnameserver\nnameserver nonsense\n\
                    \tnameserver 10.96.0.10 # cluster\nnameserver 192.0.2.2\n";
        assert_eq!(first_server(text), Some(([10, 96, 0, 10], 53).into()));
        let v6 = first_server("nameserver ::1").map(|server| server.to_string());
        assert_eq!(v6.as_deref(), Some("[::1]:53"));
        assert_eq!(first_server("search example.org\n"), None);
    }
}
