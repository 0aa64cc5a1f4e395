//! The bounds of one tunnel at the agent.

use crate::mux::MuxConfig;
use crate::session::SessionConfig;

/// The bounds of one Connect stream at the agent.
#[derive(Clone, Debug, Default)]
pub struct LinkConfig {
    /// Bounds of the streams.
    ///
    /// `close_timeout` also bounds how long an endpoint may take nothing of what was sent before the close.
    pub mux: MuxConfig,
    /// Bounds of the session under them, with `resume/1`.
    pub session: SessionConfig,
}
