//! How an agent goes about finding servers.

use std::time::Duration;

use super::ServerCountSource;

/// How often an agent looks for servers, and how many it takes.
///
/// The reference's `--probe-interval` has no counterpart: it is the pace at which the Go agent asks its gRPC
/// channels whether they still stand. Here a lost connection and a GOAWAY are reported when they happen, so
/// nothing is probed and the flag changes nothing.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Pause after an attempt that worked, and the first pause after one that failed. Default 1 s.
    ///
    /// Also the least time between the end of one attempt and the start of the next, whatever happens.
    /// Too small loads the servers with handshakes; too large delays finding a further server.
    pub sync_interval: Duration,
    /// Longest pause that repeated failures grow to. Default 10 s.
    pub sync_interval_cap: Duration,
    /// Goes on looking for servers after the expected number was found. Default off.
    ///
    /// Costs a connection and an authentication each `sync_interval`, for ever.
    pub sync_forever: bool,
    /// How long one attempt may take in all, the wait for the server's response headers included. Default 20 s.
    ///
    /// The reference waits for the headers without limit, so that one silent server stalls it for ever.
    pub attempt_timeout: Duration,
    /// Links held at once, those that are being left included; no attempt starts at the bound. Default 128.
    ///
    /// Guards against a server that claims to be one of very many.
    pub max_links: usize,
    /// Where the expected number of servers comes from. Default [`ServerCountSource::Responses`].
    pub server_count_source: ServerCountSource,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            sync_interval: Duration::from_secs(1),
            sync_interval_cap: Duration::from_secs(10),
            sync_forever: false,
            attempt_timeout: Duration::from_secs(20),
            max_links: 128,
            server_count_source: ServerCountSource::default(),
        }
    }
}

impl FleetConfig {
    pub(super) fn check(&self) -> Result<(), FleetConfigError> {
        if self.sync_interval.is_zero() {
            return Err(FleetConfigError::NoSyncInterval);
        }
        if self.sync_interval > self.sync_interval_cap {
            return Err(FleetConfigError::SyncIntervalAboveCap {
                interval: self.sync_interval,
                cap: self.sync_interval_cap,
            });
        }
        if self.attempt_timeout.is_zero() {
            return Err(FleetConfigError::NoAttemptTimeout);
        }
        if self.max_links == 0 {
            return Err(FleetConfigError::NoLinks);
        }
        Ok(())
    }
}

/// A [`FleetConfig`] that could not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetConfigError {
    /// Attempts would follow each other without a pause.
    #[error("sync interval must be greater than 0")]
    NoSyncInterval,
    /// The pause would start above its own limit.
    #[error("sync interval {interval:?} must not be greater than sync interval cap {cap:?}")]
    SyncIntervalAboveCap {
        /// The configured interval.
        interval: Duration,
        /// The configured cap.
        cap: Duration,
    },
    /// Every attempt would end at once.
    #[error("attempt timeout must be greater than 0")]
    NoAttemptTimeout,
    /// No server could ever be connected to.
    #[error("max links must be greater than 0")]
    NoLinks,
}
