//! What can be wrong with a command line, in pflag's words.

use std::ffi::OsString;

use thiserror::Error;

use super::quote::quote;
use super::value::ValueError;

/// Why a command line can't be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlagError {
    /// An argument is not text.
    #[error("argument {0:?} is not valid UTF-8")]
    NotText(OsString),
    /// What follows the two hyphens can't be a name.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// No flag has that name.
    #[error("unknown flag: --{0}")]
    Unknown(String),
    /// No flag has that letter.
    #[error("unknown shorthand flag: {} in -{shorthands}", quote_char(*letter))]
    UnknownShorthand {
        /// The letter.
        letter: char,
        /// The letter with what stood behind it.
        shorthands: String,
    },
    /// The line ends where a value should follow.
    #[error("flag needs an argument: --{0}")]
    MissingValue(String),
    /// The line ends where the value of a one-letter flag should follow.
    #[error("flag needs an argument: {} in -{shorthands}", quote_char(*letter))]
    MissingShorthandValue {
        /// The letter.
        letter: char,
        /// The letter with what stood behind it.
        shorthands: String,
    },
    /// The value is not one of the flag's type.
    #[error("invalid argument {} for {} flag: {cause}", quote(value), quote(flag))]
    InvalidValue {
        /// The value.
        value: String,
        /// The flag as pflag calls it, e.g. `-v, --v`.
        flag: String,
        /// What is wrong with it.
        cause: ValueError,
    },
}

/// A letter in single quotes, as Go's `%q` does.
fn quote_char(letter: char) -> String {
    match letter {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        _ => {
            let quoted = quote(letter.encode_utf8(&mut [0; 4]));
            format!("'{}'", quoted.trim_matches('"'))
        }
    }
}
