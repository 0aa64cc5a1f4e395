//! Loopback addresses that no other test uses.

use std::net::{Ipv4Addr, TcpListener};

/// Nothing under test listens on this port: holding it is holding the address.
const CLAIM_PORT: u16 = 49_000;

/// An address of 127.0.0.0/8 that is the holder's own until dropped.
///
/// The daemons only take ports of a fixed range, so tests that run at the same time differ by address
/// instead.
#[derive(Debug)]
pub(crate) struct Address {
    ip: Ipv4Addr,
    _claim: TcpListener,
}

impl Address {
    pub(crate) fn claim() -> Self {
        for _ in 0..1000 {
            let ip = Ipv4Addr::new(
                127,
                fastrand::u8(64..128),
                fastrand::u8(..),
                fastrand::u8(1..=254),
            );
            if let Ok(claim) = TcpListener::bind((ip, CLAIM_PORT)) {
                return Self { ip, _claim: claim };
            }
        }
        panic!("no free loopback address in 1000 tries");
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        self.ip
    }
}
