//! What the operator sets for every agent tunnel.

use std::time::Duration;

use crate::mux::MuxConfig;
use crate::session::SessionConfig;

/// How long a dial may take when the operator set no bound.
///
/// The reference has none then; a dial that nobody answers would wait for ever (Konnectivity issue 855).
/// kube-apiserver's own client gives up after the same 30 s.
const DEFAULT_DIAL_BOUND: Duration = Duration::from_secs(30);

/// The bounds of one agent's tunnel at the server.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Bounds of the streams.
    pub mux: MuxConfig,
    /// Bounds of the session under them, with `resume/1`.
    pub session: SessionConfig,
    /// `--backend-dial-timeout`: how long the tunnel may take to accept a dial, and then the agent to answer it.
    ///
    /// `None` (the flag's 0) bounds both by 30 s. With a value, a tunnel that does not even take the dial is
    /// retired: it gets no new dials and its Connect call ends, so that the agent connects anew.
    pub dial_timeout: Option<Duration>,
    /// How many dials may wait for the agent's answer at a time. Default 16,384, as many as there may be streams.
    pub max_pending_dials: usize,
}

impl Default for LinkConfig {
    fn default() -> Self {
        let mux = MuxConfig::default();
        Self {
            max_pending_dials: mux.max_streams,
            mux,
            session: SessionConfig::default(),
            dial_timeout: None,
        }
    }
}

impl LinkConfig {
    pub(super) fn dial_bound(&self) -> Duration {
        self.dial_timeout.unwrap_or(DEFAULT_DIAL_BOUND)
    }
}
