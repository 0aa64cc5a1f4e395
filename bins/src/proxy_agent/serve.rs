//! The work of `proxy-agent`, from its options to its end.

use thiserror::Error;

use crate::daemon::StopSignal;
use crate::flags::AgentOptions;

/// Serves until a stop is asked for and done.
///
/// # Errors
/// Why it could not start; once it serves, it ends only by being stopped.
pub async fn serve(_options: AgentOptions, _stop: StopSignal) -> Result<(), StartError> {
    Err(StartError::NotBuilt)
}

/// Why the agent could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// This build has the command line only.
    #[error("this build of proxy-agent can't serve yet")]
    NotBuilt,
}
