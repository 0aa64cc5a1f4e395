//! TCP listeners with the meaning that Go gives to an address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use super::error::{ListenCause, ListenError};

/// More than any kernel grants: it lowers the number to `net.core.somaxconn`, the backlog that Go asks for.
const BACKLOG: i32 = 65_535;

/// Binds a TCP socket and listens; non-blocking, to be handed to [`Runtime::tcp_listener`].
///
/// As in Go's `net.Listen("tcp", ..)`, an empty `host` (and `0.0.0.0` and `::`) means every address of the
/// machine, IPv4 and IPv6; a name is looked up, and of its addresses an IPv4 one preferred. Port 0 lets the
/// system choose. The look-up of a name blocks; flags hold addresses as a rule.
///
/// # Errors
/// [`ListenError`], in Go's words.
///
/// [`Runtime::tcp_listener`]: crate::Runtime::tcp_listener
pub fn bind_tcp(host: &str, port: u16) -> Result<TcpListener, ListenError> {
    let error = |address: String| {
        move |cause| ListenError {
            network: "tcp",
            address,
            cause,
        }
    };
    let ip = if host.is_empty() {
        None
    } else {
        Some(resolve(host).map_err(error(String::new()))?)
    };
    match ip.filter(|ip| !ip.is_unspecified()) {
        Some(ip) => {
            let address = SocketAddr::new(ip, port);
            listen(address, false).map_err(error(address.to_string()))
        }
        None => {
            let shown = ip.map_or_else(
                || format!(":{port}"),
                |ip| SocketAddr::new(ip, port).to_string(),
            );
            every_address(port).map_err(error(shown))
        }
    }
}

/// One socket for both families where there is IPv6, else one for IPv4.
fn every_address(port: u16) -> Result<TcpListener, ListenCause> {
    match listen((Ipv6Addr::UNSPECIFIED, port).into(), true) {
        Err(ListenCause::System { error, .. })
            if matches!(
                error.raw_os_error(),
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
            ) =>
        {
            listen(([0, 0, 0, 0], port).into(), false)
        }
        other => other,
    }
}

fn listen(address: SocketAddr, dual_stack: bool) -> Result<TcpListener, ListenCause> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(ListenCause::system("socket"))?;
    let set_options = || {
        if address.is_ipv6() {
            socket.set_only_v6(!dual_stack)?;
        }
        // So that a daemon can be started again while connections of the one before linger.
        socket.set_reuse_address(true)
    };
    set_options().map_err(ListenCause::system("setsockopt"))?;
    socket
        .bind(&address.into())
        .map_err(ListenCause::system("bind"))?;
    socket
        .listen(BACKLOG)
        .map_err(ListenCause::system("listen"))?;
    Ok(socket.into())
}

fn resolve(host: &str) -> Result<IpAddr, ListenCause> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(ip.to_canonical());
    }
    let failed = |reason: String| ListenCause::LookUp {
        host: host.to_owned(),
        reason,
    };
    let addresses: Vec<_> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| failed(error.to_string()))?
        .collect();
    addresses
        .iter()
        .find(|address| address.is_ipv4())
        .or(addresses.first())
        .map(SocketAddr::ip)
        .ok_or_else(|| failed("no such host".to_owned()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn without_a_host_both_families_are_served() {
        for host in ["", "0.0.0.0", "::"] {
            let listener = bind_tcp(host, 0).unwrap();
            let port = listener.local_addr().unwrap().port();
            TcpStream::connect(("127.0.0.1", port)).unwrap();
            TcpStream::connect(("::1", port)).unwrap();
        }
    }

    #[test]
    fn an_address_is_served_alone() {
        let listener = bind_tcp("127.0.0.1", 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        TcpStream::connect(("127.0.0.2", port)).unwrap_err();
    }

    #[test]
    fn a_name_leads_to_its_ipv4_address() {
        let listener = bind_tcp("localhost", 0).unwrap();
        assert!(listener.local_addr().unwrap().is_ipv4());
    }

    #[test]
    fn failures_read_as_in_go() {
        let first = bind_tcp("127.0.0.1", 0).unwrap();
        let port = first.local_addr().unwrap().port();
        let cases = [
            (
                "127.0.0.1",
                format!("listen tcp 127.0.0.1:{port}: bind: address already in use"),
            ),
            (
                "",
                format!("listen tcp :{port}: bind: address already in use"),
            ),
            (
                "0.0.0.0",
                format!("listen tcp 0.0.0.0:{port}: bind: address already in use"),
            ),
            (
                "192.0.2.1",
                format!("listen tcp 192.0.2.1:{port}: bind: cannot assign requested address"),
            ),
        ];
        for (host, text) in cases {
            assert_eq!(bind_tcp(host, port).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn a_host_that_is_no_name_is_reported() {
        let text = bind_tcp("not a name", 0).unwrap_err().to_string();
        assert!(
            text.starts_with("listen tcp: lookup not a name: "),
            "{text}"
        );
    }
}
