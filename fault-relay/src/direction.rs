//! One direction of a relay, and what it does to the bytes.

use std::time::Duration;

use tokio::sync::watch;

/// What befalls the bytes of every connection in one direction, from now on.
#[derive(Debug, Default)]
pub struct Direction {
    conditions: watch::Sender<Conditions>,
}

/// How a direction carries bytes at present.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) frozen: bool,
    /// From the entrance to the exit.
    pub(crate) latency: Duration,
    pub(crate) bytes_per_second: Option<u64>,
}

impl Direction {
    /// Bytes stop, the connections stay; an end or a failure passes no more than a byte does.
    pub fn freeze(&self) {
        self.conditions
            .send_modify(|conditions| conditions.frozen = true);
    }

    /// Bytes flow again, those first that wait.
    pub fn thaw(&self) {
        self.conditions
            .send_modify(|conditions| conditions.frozen = false);
    }

    /// Every byte takes this long on its way; none overtakes another.
    pub fn delay(&self, latency: Duration) {
        self.conditions
            .send_modify(|conditions| conditions.latency = latency);
    }

    /// No connection gets more than this.
    ///
    /// # Panics
    /// At zero, which is what [`Direction::freeze`] is for.
    pub fn throttle(&self, bytes_per_second: u64) {
        assert!(bytes_per_second > 0, "a throttled direction moves");
        self.conditions
            .send_modify(|conditions| conditions.bytes_per_second = Some(bytes_per_second));
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Conditions> {
        self.conditions.subscribe()
    }
}

/// Waits until bytes may pass; for ever, once nobody can change that any more.
pub(crate) async fn thawed(conditions: &mut watch::Receiver<Conditions>) {
    let waited = conditions.wait_for(|conditions| !conditions.frozen);
    let gone = waited.await.is_err();
    if gone {
        std::future::pending::<()>().await;
    }
}
