//! What a service manager such as systemd is told (`sd_notify(3)`), where one wants to know.

use std::fmt;

use sd_notify::NotifyState;

/// The daemon serves: what depends on it may start.
pub(crate) fn ready(status: impl fmt::Display) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status.to_string())]);
}

/// The daemon has been asked to end, and may take its time.
pub(crate) fn stopping(status: impl fmt::Display) {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status(&status.to_string()),
    ]);
}

/// Without a service manager that asked for it, in `NOTIFY_SOCKET`, nothing happens.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot tell the service manager (NOTIFY_SOCKET)");
    }
}
