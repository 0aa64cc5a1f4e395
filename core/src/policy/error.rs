//! What can be wrong with a policy file.

use std::fmt;

use thiserror::Error;

use crate::yaml::{Problem, YamlError};

/// A policy that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file is no YAML, or too much of it.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Fields that don't belong there or make no sense: all of them.
    #[error("{}", Listed(.0))]
    Fields(Vec<Problem>),
}

struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}
