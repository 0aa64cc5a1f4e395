//! Waiting for what other tasks bring about.

use std::time::Duration;

use tokio::time::Instant;

/// Far more than anything here takes: who waits that long waits for ever.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition, for [`PATIENCE`] at most.
///
/// # Panics
/// When it does not come about.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "in {PATIENCE:?} not: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for a future, for [`PATIENCE`] at most.
///
/// # Panics
/// When it takes longer.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("in {PATIENCE:?} not: {what}"),
    }
}
