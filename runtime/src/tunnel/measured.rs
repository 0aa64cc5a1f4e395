//! A tunnel as metrics see it.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{Machine, Tunnel};
use crate::metrics::{Measured, Measurement};
use crate::runtime::Runtime;

/// Tells how a tunnel is whenever it is asked, and keeps nothing of it alive.
#[derive(Debug)]
pub(crate) struct MeasuredTunnel<R: Runtime, M: Machine> {
    runtime: R,
    tunnel: Weak<Tunnel<M>>,
    since: Instant,
}

impl<R: Runtime, M: Machine> MeasuredTunnel<R, M> {
    /// The tunnel is taken to begin now.
    pub(crate) fn new(runtime: &R, tunnel: &Arc<Tunnel<M>>) -> Self {
        Self {
            runtime: runtime.clone(),
            tunnel: Arc::downgrade(tunnel),
            since: runtime.now(),
        }
    }
}

impl<R: Runtime, M: Machine> Measured for MeasuredTunnel<R, M> {
    fn measure(&self) -> Option<Measurement> {
        let tunnel = self.tunnel.upgrade()?;
        let load = tunnel.lock().machine.load()?;
        Some(Measurement {
            peer: tunnel.peer_id().to_owned(),
            link: tunnel.id(),
            age: self.runtime.now().saturating_duration_since(self.since),
            load,
        })
    }

    fn is_over(&self) -> bool {
        self.tunnel.strong_count() == 0
    }
}
