//! Patterns for names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A pattern for a whole name, in which `*` stands for any run of characters, separators and nothing included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

/// Text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidGlob {
    /// It is empty.
    #[error("a pattern is empty")]
    Empty,
    /// More than 1,024 bytes.
    #[error("a pattern exceeds 1024 bytes")]
    TooLong,
}

const MAX_BYTES: usize = 1024;

impl Glob {
    /// Whether the pattern is for `name`. Takes time by the product of their lengths at most, and no more memory.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut name) = (self.0.as_bytes(), name.as_bytes());
        // After the last star, and what it has not swallowed yet: an earlier star never has to swallow more.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern, name) {
                ([b'*', rest @ ..], _) => {
                    pattern = rest;
                    retry = Some((rest, name));
                }
                ([], []) => return true,
                ([p, pattern_rest @ ..], [n, name_rest @ ..]) if p == n => {
                    (pattern, name) = (pattern_rest, name_rest);
                }
                (_, _) => {
                    let Some((after_star, [_, swallowed @ ..])) = retry else {
                        return false;
                    };
                    (pattern, name) = (after_star, swallowed);
                    retry = Some((after_star, swallowed));
                }
            }
        }
    }

    /// For names that are compared in lower case.
    pub(super) fn to_lowercase(&self) -> Self {
        Self(self.0.to_lowercase())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Glob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<Self, InvalidGlob> {
        if text.is_empty() {
            Err(InvalidGlob::Empty)
        } else if text.len() > MAX_BYTES {
            Err(InvalidGlob::TooLong)
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Glob(pattern.to_owned()).matches(name)
    }

    #[test]
    fn a_star_is_any_run_and_all_else_is_itself() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*.b", "a.a.b", true),
            ("*.b", "b", false),
            ("a*b*c", "a/b/b/c", true),
            ("a*b*c", "acb", false),
            ("?", "a", false),
            ("[a]", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    quickcheck! {
        fn a_name_is_matched_by_itself_and_by_each_of_its_ends(before: String, after: String) -> bool {
            let (before, after) = (before.replace('*', ""), after.replace('*', ""));
            let whole = format!("{before}{after}");
            matches(&whole, &whole) && matches(&format!("{before}*"), &whole) && matches(&format!("*{after}"), &whole)
        }
    }
}
