//! The network between agents and servers, which can fail in all the ways that networks do.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::ops::Deref;

/// The relay with faults, whose start fails the test if it fails.
pub struct Relay(dialback_fault_relay::Relay);

impl Relay {
    pub async fn start(targets: Vec<SocketAddr>) -> Self {
        Self(dialback_fault_relay::Relay::start(targets).await.unwrap())
    }
}

impl Deref for Relay {
    type Target = dialback_fault_relay::Relay;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
