//! Strict reading of YAML files: every field is known or told, with its path and line.

mod document;
mod error;
mod fields;

pub(crate) use document::{Node, Value, parse};
pub(crate) use error::Listed;
pub use error::{Problem, YamlError};
pub(crate) use fields::Fields;
