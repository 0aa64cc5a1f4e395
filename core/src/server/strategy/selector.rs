//! Which labels an agent has to have for a dial.

use std::fmt;
use std::str::FromStr;

use crate::wire::Identifiers;

/// The most labels that one selector may ask for.
const MOST: usize = 16;
/// The longest label, key and value together, in bytes; as long as in Kubernetes (253 + 1 + 63 and 63).
const LONGEST: usize = 380;

/// Labels that an agent has to carry, all of them: `zone=a,disk=fast` as text.
///
/// An agent carries labels as identifiers, `label=zone:a`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector(Vec<(String, String)>);

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It asks for nothing.
    #[error("selector is empty")]
    Empty,
    /// A part of it is no `key=value`.
    #[error("{0:?} in a selector is no key=value")]
    Malformed(String),
    /// It asks for too much.
    #[error("selector asks for more than {MOST} labels")]
    TooMany,
}

impl Selector {
    /// Whether an agent of these identifiers has what is asked for.
    #[must_use]
    pub fn selects(&self, identifiers: &Identifiers) -> bool {
        self.0.iter().all(|(key, value)| {
            let mut labels = identifiers.labels();
            labels.any(|label| label == (key.as_str(), value.as_str()))
        })
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.trim().is_empty() {
            return Err(SelectorError::Empty);
        }
        let mut labels = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let label = part.split_once('=').filter(|(key, value)| {
                let visible =
                    |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
                visible(key) && visible(value) && part.len() <= LONGEST && !value.contains('=')
            });
            let Some((key, value)) = label else {
                return Err(SelectorError::Malformed(
                    part.chars().take(LONGEST).collect(),
                ));
            };
            if labels.len() == MOST {
                return Err(SelectorError::TooMany);
            }
            labels.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self(labels))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (key, value)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_has_to_be_there() {
        let agent = Identifiers::parse(b"label=zone:a&label=disk:fast&label=odd&label=url:a:b")
            .expect("a query string");
        for (selector, selects) in [
            ("zone=a", true),
            (" zone=a , disk=fast ", true),
            ("zone=a,disk=slow", false),
            ("zone=b", false),
            ("odd=x", false),
            ("url=a:b", true),
            ("zone=A", false),
        ] {
            let selector: Selector = selector.parse().expect("it is one");
            assert_eq!(selector.selects(&agent), selects, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_said() {
        let refused = |text: &str| text.parse::<Selector>().map_err(|error| error.to_string());
        for text in ["", "  "] {
            assert_eq!(refused(text), Err("selector is empty".to_owned()));
        }
        for part in ["zone", "=a", "zone=", "a=b=c", "a b=c", ""] {
            let text = format!("x=y,{part}");
            let error = format!("{part:?} in a selector is no key=value");
            assert_eq!(refused(&text), Err(error));
        }
        let many = vec!["a=b"; MOST + 1].join(",");
        assert_eq!(
            refused(&many),
            Err("selector asks for more than 16 labels".to_owned())
        );
        assert!(refused(&format!("a={}", "x".repeat(LONGEST))).is_err());
        assert_eq!(
            refused("b=1, a=2").map(|selector| selector.to_string()),
            Ok("b=1,a=2".to_owned())
        );
    }
}
