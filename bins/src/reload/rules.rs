//! Files of rules, policies and limits, at the start and when they change.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use dialback_core::audit::AuditPolicy;
use dialback_core::policy::Policy;
use dialback_core::throttle::ThrottleConfig;
use thiserror::Error;

use super::fingerprint::{Seen, Watched};

/// A little more than such a file may have, so that one that is too large is seen to be.
const MAX_BYTES: u64 = 1024 * 1024 + 1;

/// What such a file may hold.
pub(crate) trait Rules: Sized + 'static {
    /// As the log calls it.
    const NAME: &'static str;

    /// Reads it.
    fn parse(text: &str) -> Result<Self, Box<dyn Error + Send + Sync>>;
}

impl Rules for Policy {
    const NAME: &'static str = "policy";

    fn parse(text: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self::parse(text)?)
    }
}

impl Rules for ThrottleConfig {
    const NAME: &'static str = "throttle";

    fn parse(text: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self::parse(text)?)
    }
}

impl Rules for AuditPolicy {
    const NAME: &'static str = "audit policy";

    fn parse(text: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self::parse(text)?)
    }
}

/// Why a file of rules can't be used.
#[derive(Debug, Error)]
pub enum RuleFileError {
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
    Rules {
        /// The file.
        path: PathBuf,
        /// Where, and what is wrong there.
        error: Box<dyn Error + Send + Sync>,
    },
}

/// Reads a file of rules.
///
/// # Errors
/// It can't be read, or makes no sense.
pub(crate) fn read_rules<T: Rules>(path: &Path) -> Result<T, RuleFileError> {
    let read = || {
        let mut text = String::new();
        File::open(path)?
            .take(MAX_BYTES)
            .read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| RuleFileError::Read {
        path: path.to_owned(),
        error,
    })?;
    T::parse(&text).map_err(|error| RuleFileError::Rules {
        path: path.to_owned(),
        error,
    })
}

/// A file of rules that was read, and nobody has said yet what is to be done when it changes.
#[derive(Debug)]
pub(crate) struct ReadRules<T> {
    /// What it held.
    pub(crate) rules: T,
    path: PathBuf,
    files: Watched,
}

impl<T: Rules> ReadRules<T> {
    /// Reads a file for the first time.
    ///
    /// # Errors
    /// It can't be read, or makes no sense.
    pub(crate) fn open(path: &Path) -> Result<Self, RuleFileError> {
        // Before it is read: what changes in between is seen at the next look.
        let files = Watched::new(vec![path.to_owned()]);
        Ok(Self {
            rules: read_rules(path)?,
            path: path.to_owned(),
            files,
        })
    }

    /// What it held, and the file, to be looked at from now on: `apply` is given new rules, or nothing if they were refused.
    pub(crate) fn watched(self, apply: impl Fn(Option<T>) + Send + 'static) -> (T, RuleSource) {
        let look = move |path: &Path| {
            let rules = read_rules::<T>(path);
            match rules {
                Ok(rules) => {
                    apply(Some(rules));
                    Ok(())
                }
                Err(error) => {
                    apply(None);
                    Err(error)
                }
            }
        };
        let source = RuleSource {
            name: T::NAME,
            path: self.path,
            files: self.files,
            take_up: Box::new(look),
        };
        (self.rules, source)
    }
}

/// Reads a file that has changed, and puts what it holds in force.
type TakeUp = Box<dyn Fn(&Path) -> Result<(), RuleFileError> + Send>;

/// A file of rules, and what is done when it changes.
pub(crate) struct RuleSource {
    name: &'static str,
    path: PathBuf,
    files: Watched,
    take_up: TakeUp,
}

impl RuleSource {
    /// Whether the file may still be changing.
    pub(super) fn look(&mut self, asked: bool) -> bool {
        match self.files.look(asked) {
            Seen::Same => return false,
            Seen::Settling => return true,
            Seen::Changed => {}
        }
        let name = self.name;
        match (self.take_up)(&self.path) {
            Ok(()) => {
                tracing::info!(file = %self.path.display(), "{name} changed, the new one is in force");
            }
            Err(error) => {
                tracing::error!(%error, "{name} changed and the new one is refused, the old one stays in force");
            }
        }
        false
    }
}

impl fmt::Debug for RuleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSource")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
