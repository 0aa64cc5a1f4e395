//! Dialling what a frontend asked for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use dialback_core::policy::DestinationRules;

use super::address::{parse_port, split_host_port};
use super::failure::{Cause, DialFailure};
use super::name_server::name_server;
use super::race::{self, Connected};
use crate::net::{Socket, TcpOptions};
use crate::runtime::Runtime;
use crate::timer::timeout_at;

/// Connects to `address`, a `host:port`, within `limit`, name look-up included. Dropping the future gives up.
///
/// Of Go's networks `tcp`, `tcp4` and `tcp6` are served: the reference dials any, Unix sockets of its own
/// machine too, which nobody meant a frontend to reach. All addresses of a name are tried, in Go's way, and
/// the socket gets Go's options: no delay, keep-alive of 15 s.
///
/// # Errors
/// [`DialFailure`], with Go's text.
pub async fn dial_endpoint<R: Runtime>(
    runtime: &R,
    network: &str,
    address: &str,
    limit: Duration,
) -> Result<R::TcpStream, DialFailure> {
    let rules = DestinationRules::default();
    let (_, socket) = dial_endpoint_within(runtime, network, address, limit, &rules).await?;
    Ok(socket)
}

/// As [`dial_endpoint`], where `rules` allow it: addresses of a name that they don't are passed over. Tells which one
/// the connection is to.
///
/// # Errors
/// [`DialFailure`], which says it when all of them are.
pub async fn dial_endpoint_within<R: Runtime>(
    runtime: &R,
    network: &str,
    address: &str,
    limit: Duration,
    rules: &DestinationRules,
) -> Result<(SocketAddr, R::TcpStream), DialFailure> {
    let deadline = runtime.now() + limit;
    let permitted = |addresses: &mut Vec<SocketAddr>| {
        if rules.is_empty() {
            return Ok(());
        }
        let mut refused = None;
        addresses.retain(|found| match rules.check(address, *found) {
            Ok(()) => true,
            Err(why) => {
                refused = Some(why);
                false
            }
        });
        match refused {
            Some(why) if addresses.is_empty() => Err(Cause::Refused(why)),
            Some(_) | None => Ok(()),
        }
    };
    let (connected, socket) = dial(runtime, network, address, deadline, permitted).await?;
    if let Err(error) = socket.set_tcp_options(&TcpOptions::default()) {
        tracing::debug!(address, %error, "socket options of a connection to an endpoint");
    }
    Ok((connected, socket))
}

/// Connects to one of the addresses that `select` leaves, in its order; the socket has the system's options.
pub(super) async fn dial<R: Runtime>(
    runtime: &R,
    network: &str,
    address: &str,
    deadline: Instant,
    select: impl FnOnce(&mut Vec<SocketAddr>) -> Result<(), Cause>,
) -> Result<Connected<R>, DialFailure> {
    let failed = |cause| DialFailure::new(network, None, cause);
    let family = Family::of(network).ok_or_else(|| failed(Cause::unknown_network(network)))?;
    if address.is_empty() {
        return Err(failed(Cause::MissingAddress));
    }
    let (host, port) =
        split_host_port(address).map_err(|why| failed(Cause::address(address, why)))?;
    let port = parse_port(port).map_err(failed)?;
    let addresses = resolve(runtime, host, port, deadline)
        .await
        .map_err(failed)?;
    let mut addresses: Vec<_> = addresses
        .into_iter()
        .filter(|address| family.includes(address))
        .collect();
    if addresses.is_empty() {
        return Err(failed(Cause::address(host, "no suitable address found")));
    }
    select(&mut addresses).map_err(failed)?;
    race::connect(runtime, &addresses, deadline)
        .await
        .map_err(|failed| match failed {
            Some((at, cause)) => {
                let shown = if host.is_empty() {
                    format!(":{port}")
                } else {
                    at.to_string()
                };
                DialFailure::new(network, Some(shown), cause)
            }
            None => DialFailure::new(network, None, Cause::MissingAddress),
        })
}

/// Which addresses a network's name allows.
#[derive(Clone, Copy)]
enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    fn of(network: &str) -> Option<Self> {
        match network {
            "tcp" => Some(Self::Any),
            "tcp4" => Some(Self::V4),
            "tcp6" => Some(Self::V6),
            _ => None,
        }
    }

    const fn includes(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

async fn resolve<R: Runtime>(
    runtime: &R,
    host: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, Cause> {
    if host.is_empty() {
        // The local host, in Go and in the kernel.
        return Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into()]);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(literal(ip, port));
    }
    let found = timeout_at(runtime, deadline, runtime.look_up(host, port))
        .await
        .map_err(|_| Cause::look_up_timed_out(host))?;
    match found {
        Ok(addresses) if !addresses.is_empty() => {
            Ok(addresses.into_iter().map(canonical).collect())
        }
        Ok(_) => Err(not_found(host, "no such host")),
        Err(error) => Err(not_found(host, &look_up_text(&error))),
    }
}

fn literal(ip: IpAddr, port: u16) -> Vec<SocketAddr> {
    let mut addresses = vec![SocketAddr::new(ip.to_canonical(), port)];
    if ip.is_unspecified() && ip.is_ipv6() {
        // Machines without a working IPv6 can bind to it and not connect (golang.org/issue/18806).
        addresses.push((Ipv4Addr::UNSPECIFIED, port).into());
    }
    addresses
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        // As it was: it may have a scope.
        IpAddr::V6(_) => address,
    }
}

fn not_found(host: &str, why: &str) -> Cause {
    Cause::look_up(host, name_server().map(|server| server.to_string()), why)
}

/// Go's words for what `getaddrinfo` reports. Its codes do not come through `std`, its texts do.
fn look_up_text(error: &io::Error) -> String {
    let text = error.to_string();
    if text.contains("emporary failure") || text.contains("ry again") {
        return "server misbehaving".to_owned();
    }
    let no_such_name = [
        "not known",
        "No address associated",
        "Name does not resolve",
        "Name has no usable address",
    ];
    // Invalid input: the name could not even be asked for.
    let no_such_kind = matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
    );
    if no_such_kind || no_such_name.iter().any(|known| text.contains(known)) {
        return "no such host".to_owned();
    }
    crate::system_error::go_text(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolver_errors_read_as_in_go() {
        let cases = [
            // glibc
            (
                "failed to lookup address information: Name or service not known",
                "no such host",
            ),
            (
                "failed to lookup address information: No address associated with hostname",
                "no such host",
            ),
            (
                "failed to lookup address information: Temporary failure in name resolution",
                "server misbehaving",
            ),
            // musl
            (
                "failed to lookup address information: Name does not resolve",
                "no such host",
            ),
            (
                "failed to lookup address information: Try again",
                "server misbehaving",
            ),
            (
                "failed to lookup address information: Non-recoverable failure in name resolution",
                "failed to lookup address information: Non-recoverable failure in name resolution",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(look_up_text(&io::Error::other(text)), expected);
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let found = literal("::ffff:10.0.0.1".parse().expect("an address"), 80);
        assert_eq!(found, [([10, 0, 0, 1], 80).into()]);
    }
}
