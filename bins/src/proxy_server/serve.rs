//! The work of `proxy-server`, from its options to its end.

use thiserror::Error;

use crate::daemon::StopSignal;
use crate::flags::ServerOptions;

/// Serves until a stop is asked for and done.
///
/// # Errors
/// Why it could not start; once it serves, it ends only by being stopped.
pub async fn serve(_options: ServerOptions, _stop: StopSignal) -> Result<(), StartError> {
    Err(StartError::NotBuilt)
}

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// This build has the command line only.
    #[error("this build of proxy-server can't serve yet")]
    NotBuilt,
}
