//! The policy file, at the start and when it changes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dialback_core::policy::{Policy, PolicyError};
use dialback_runtime::Runtime;
use dialback_runtime::server::Server;
use thiserror::Error;

use super::fingerprint::{Seen, Watched};

/// A little more than a policy may have, so that one that is too large is seen to be.
const MAX_BYTES: u64 = 1024 * 1024 + 1;

/// Why a policy file can't be used.
#[derive(Debug, Error)]
pub enum PolicyFileError {
    /// It can't be read.
    #[error("{}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It makes no sense.
    #[error("{}: {error}", .path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong there.
        error: PolicyError,
    },
}

/// Reads a policy file.
///
/// # Errors
/// [`PolicyFileError`].
pub(crate) fn read_policy(path: &Path) -> Result<Policy, PolicyFileError> {
    let read = || {
        let mut text = String::new();
        File::open(path)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| PolicyFileError::Read {
        path: path.to_owned(),
        error,
    })?;
    Policy::parse(&text).map_err(|error| PolicyFileError::Policy {
        path: path.to_owned(),
        error,
    })
}

/// A policy file, and what is done when it changes.
pub(crate) struct PolicySource {
    path: PathBuf,
    files: Watched,
    /// Given the new policy, or nothing if it was refused.
    apply: Box<dyn Fn(Option<Policy>) + Send>,
}

impl PolicySource {
    /// Reads a policy for the first time.
    ///
    /// # Errors
    /// As [`read_policy`].
    pub(crate) fn open(path: &Path) -> Result<(Self, Arc<Policy>), PolicyFileError> {
        // Before it is read: what changes in between is seen at the next look.
        let files = Watched::new(vec![path.to_owned()]);
        let policy = read_policy(path)?;
        let source = Self {
            path: path.to_owned(),
            files,
            apply: Box::new(|_| ()),
        };
        Ok((source, Arc::new(policy)))
    }

    /// What changes is for this server.
    pub(crate) fn serving<R: Runtime>(self, server: &Arc<Server<R>>) -> Self {
        let server = Arc::clone(server);
        Self {
            apply: Box::new(move |policy| {
                server.metrics().policy_reloaded(policy.is_some());
                if let Some(policy) = policy {
                    server.set_policy(Arc::new(policy));
                }
            }),
            ..self
        }
    }

    /// Whether the file may still be changing.
    pub(super) fn look(&mut self, asked: bool) -> bool {
        match self.files.look(asked) {
            Seen::Same => return false,
            Seen::Settling => return true,
            Seen::Changed => {}
        }
        match read_policy(&self.path) {
            Ok(policy) => {
                let (rules, tenants) = (policy.rule_count(), policy.tenant_count());
                (self.apply)(Some(policy));
                tracing::info!(
                    file = %self.path.display(), rules, tenants,
                    "policy changed, the new one is in force"
                );
            }
            Err(error) => {
                (self.apply)(None);
                tracing::error!(%error, "policy changed and the new one is refused, the old one stays in force");
            }
        }
        false
    }
}

impl fmt::Debug for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySource")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
