//! Loopback addresses that nobody else uses.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// How many addresses are tried; the first one is nearly always free.
const ATTEMPTS: usize = 16;

/// An address of 127.0.0.0/8 on which all of `ports` are free.
///
/// The daemons have fixed ports, so it is the address that keeps several installations on one machine
/// apart. It is drawn at random, so that somebody else hardly draws the same one before it is bound.
pub(crate) fn unused_address(ports: &[u16]) -> io::Result<Ipv4Addr> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for _ in 0..ATTEMPTS {
        // Not 127.0.x.y, which people configure by hand, nor a network's first and last address.
        let address = Ipv4Addr::new(
            127,
            fastrand::u8(1..=254),
            fastrand::u8(..),
            fastrand::u8(1..=254),
        );
        let bound = ports
            .iter()
            .map(|port| TcpListener::bind((address, *port)))
            .collect::<io::Result<Vec<_>>>();
        match bound {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(io::Error::new(
        last.kind(),
        format!("found no loopback address with the ports {ports:?} free: {last}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_loopback_and_its_ports_can_be_bound() -> io::Result<()> {
        let address = unused_address(&[8090, 8091])?;
        assert!(address.is_loopback());
        TcpListener::bind((address, 8090))?;
        TcpListener::bind((address, 8091))?;
        Ok(())
    }
}
