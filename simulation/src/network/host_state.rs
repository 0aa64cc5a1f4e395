//! Hosts and the places on them that can be connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Names a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(usize);

impl HostId {
    /// Where packets to addresses go that no host has: nothing comes back.
    pub(crate) const NOWHERE: Self = Self(0);

    pub(crate) const fn new(index: usize) -> Self {
        Self(index)
    }

    pub(crate) const fn index(self) -> usize {
        self.0
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host:{}", self.0)
    }
}

#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) ip: IpAddr,
    /// Since when it has no power.
    pub(crate) down_since: Option<Duration>,
    pub(crate) next_port: u16,
}

/// The first port that the system chooses, as in Linux.
const FIRST_FREE_PORT: u16 = 32_768;

impl HostState {
    pub(crate) fn new(id: HostId) -> Self {
        // 10.0.0.0/8 has room for more hosts than any scenario has.
        let [_, a, b, c] = u32::try_from(id.0).unwrap_or(u32::MAX).to_be_bytes();
        Self {
            ip: Ipv4Addr::new(10, a, b, c).into(),
            down_since: None,
            next_port: FIRST_FREE_PORT,
        }
    }

    pub(crate) fn nowhere() -> Self {
        Self {
            down_since: Some(Duration::ZERO),
            ..Self::new(HostId::NOWHERE)
        }
    }

    pub(crate) fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        port
    }
}

/// What can be connected to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(HostId, PathBuf),
}
