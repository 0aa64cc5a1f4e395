//! Endpoints that agents dial.

use std::future::Future;

use dialback_runtime::{Listener as _, Runtime as _};

use crate::host::Host;
use crate::network::SimulatedStream;

/// Serves each connection to a port with `act`, until the host is killed.
///
/// # Panics
/// When the port is taken.
pub fn serve<F, S>(host: &Host, port: u16, act: F)
where
    F: Fn(SimulatedStream) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = host.listen_tcp(host.address(port)).expect("a free port");
    let serving = host.clone();
    host.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            serving.spawn(act(socket));
        }
    });
}
