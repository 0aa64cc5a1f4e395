//! What can be wrong with a file before anybody asks what it means.

use std::fmt;

use thiserror::Error;

/// A file that is no YAML, or too much of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum YamlError {
    /// More than 1 MiB.
    #[error("the configuration exceeds 1 MiB")]
    TooLarge,
    /// Values are nested more than 32 deep.
    #[error("line {line}: nested too deeply")]
    TooDeep {
        /// Where.
        line: usize,
    },
    /// More than 10,000 values, repeated ones included.
    #[error("line {line}: too many values")]
    TooManyValues {
        /// Where.
        line: usize,
    },
    /// Not YAML.
    #[error("yaml: line {line}: {problem}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A field is given twice.
    #[error("yaml: line {line}: key {key:?} already set in map")]
    DuplicateKey {
        /// Where the second one is.
        line: usize,
        /// Its name.
        key: String,
    },
}

/// A field that is wrong where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no such field.
    #[error("unknown field {path:?} (line {line})")]
    UnknownField {
        /// Where.
        line: usize,
        /// From the root, `egressSelections[0].foo`.
        path: String,
    },
    /// The field holds something else.
    #[error("field {path:?} is to be {expected}, not {found} (line {line})")]
    WrongType {
        /// Where.
        line: usize,
        /// From the root.
        path: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The field's value makes no sense there.
    #[error("field {path:?}: {why} (line {line})")]
    Invalid {
        /// Where.
        line: usize,
        /// From the root.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Problems, one behind the other.
pub(crate) struct Listed<'a>(pub(crate) &'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}
