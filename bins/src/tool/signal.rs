//! Ending in order when the operator says so.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when this process is told to end: SIGINT (Ctrl-C), SIGTERM, or SIGHUP (the terminal closed).
///
/// From the first poll on these no longer end the process by themselves.
pub(crate) async fn told_to_end() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
