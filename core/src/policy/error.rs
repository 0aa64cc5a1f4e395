//! What can be wrong with a policy file.

use thiserror::Error;

use crate::yaml::{Listed, Problem, YamlError};

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
