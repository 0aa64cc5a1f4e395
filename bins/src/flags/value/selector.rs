//! Kubernetes label selectors: `k8s-app=konnectivity-server`, `tier in (a,b),!old`.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use super::label::{label_key_faults, label_value_faults};
use crate::flags::quote::quote;

/// A label selector that has been checked; all its requirements have to hold.
///
/// Displays in the normal form that Kubernetes takes as `labelSelector`: requirements ordered by key, sets sorted.
/// The empty selector selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    DoesNotExist,
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    GreaterThan,
    LessThan,
}

impl LabelSelector {
    /// Reads the grammar of Kubernetes' `labels.Parse`.
    ///
    /// # Errors
    /// What is wrong and where, in that parser's words.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser {
            tokens: tokens(text),
            position: 0,
        };
        let mut requirements = Vec::new();
        loop {
            let next = parser.peek();
            if next == Token::End {
                break;
            }
            if !next.starts_requirement() {
                return Err(next.unexpected("!, identifier, or 'end of string'"));
            }
            let requirement = parser
                .requirement()
                .map_err(|cause| SelectorError::Requirement(Box::new(cause)))?;
            requirements.push(requirement);
            match parser.next() {
                Token::End => break,
                Token::Symbol(",") => {
                    let next = parser.peek();
                    if !next.starts_requirement() {
                        return Err(next.unexpected("identifier after ','"));
                    }
                }
                other @ (Token::Word(_) | Token::Symbol(_) | Token::Garbage(_)) => {
                    return Err(other.unexpected("',' or 'end of string'"));
                }
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        let values = values.join(",");
        match self.operator {
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

/// A piece of a selector's text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A key or a value, or one of the words `in` and `notin`.
    Word(String),
    Symbol(&'static str),
    /// Special characters that are no symbol.
    Garbage(String),
    End,
}

impl Token {
    fn starts_requirement(&self) -> bool {
        matches!(self, Self::Word(_) | Self::Symbol("!"))
    }

    fn unexpected(&self, expected: &'static str) -> SelectorError {
        SelectorError::Unexpected {
            found: self.to_string(),
            expected,
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Symbol(symbol) => f.write_str(symbol),
            Self::Garbage(text) => write!(f, "error expected: keyword found '{text}'"),
            Self::End => Ok(()),
        }
    }
}

const SYMBOLS: [&str; 9] = [")", ",", "!", "==", "=", ">", "<", "!=", "("];

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Cuts a text into tokens, the last of which is the end.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_blank);
        let Some(first) = rest.chars().next() else {
            tokens.push(Token::End);
            return tokens;
        };
        let special = is_special(first);
        let run = rest
            .find(|c| is_blank(c) || is_special(c) != special)
            .unwrap_or(rest.len());
        let (token, length) = if special {
            // Two characters if both make a symbol, else one.
            let symbol = |length| SYMBOLS.into_iter().find(|s| rest.get(..length) == Some(*s));
            match symbol(2).or_else(|| symbol(1)) {
                Some(symbol) => (Token::Symbol(symbol), symbol.len()),
                None => (Token::Garbage(rest[..run].to_owned()), run),
            }
        } else {
            (Token::Word(rest[..run].to_owned()), run)
        };
        tokens.push(token);
        rest = &rest[length..];
    }
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
}

impl Parser {
    fn peek(&self) -> Token {
        self.tokens
            .get(self.position)
            .cloned()
            .unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.next();
        let negated = token == Token::Symbol("!");
        if negated {
            token = self.next();
        }
        let Token::Word(key) = token else {
            return Err(token.unexpected("identifier"));
        };
        let faults = label_key_faults(&key);
        if !faults.is_empty() {
            return Err(SelectorError::Invalid(vec![InvalidPart::new(
                "<nil>", &key, faults,
            )]));
        }
        let bare = |key, operator| Requirement {
            key,
            operator,
            values: BTreeSet::new(),
        };
        if negated {
            return Ok(bare(key, Operator::DoesNotExist));
        }
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(bare(key, Operator::Exists));
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.set()?,
            Operator::Exists
            | Operator::DoesNotExist
            | Operator::Equals
            | Operator::DoubleEquals
            | Operator::NotEquals
            | Operator::GreaterThan
            | Operator::LessThan => self.exact_value()?,
        };
        check_values(&key, operator, &values)?;
        Ok(Requirement {
            key,
            operator,
            values,
        })
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        let token = self.next();
        Ok(match &token {
            Token::Word(word) if word == "in" => Operator::In,
            Token::Word(word) if word == "notin" => Operator::NotIn,
            Token::Symbol("=") => Operator::Equals,
            Token::Symbol("==") => Operator::DoubleEquals,
            Token::Symbol("!=") => Operator::NotEquals,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            Token::Word(_) | Token::Symbol(_) | Token::Garbage(_) | Token::End => {
                return Err(token.unexpected("in, notin, =, ==, !=, gt, lt"));
            }
        })
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.next() {
            Token::Word(value) => Ok(BTreeSet::from([value])),
            other @ (Token::Symbol(_) | Token::Garbage(_) | Token::End) => {
                Err(other.unexpected("identifier"))
            }
        }
    }

    /// Reads `(a,b)`. An empty item, also that of `()`, is the empty value.
    fn set(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let open = self.next();
        if open != Token::Symbol("(") {
            return Err(SelectorError::NoSet {
                found: open.to_string(),
            });
        }
        let mut values = BTreeSet::new();
        match self.peek() {
            Token::Word(_) | Token::Symbol(",") => {}
            Token::Symbol(")") => {
                self.next();
                values.insert(String::new());
                return Ok(values);
            }
            other @ (Token::Symbol(_) | Token::Garbage(_) | Token::End) => {
                return Err(other.unexpected("',', ')' or identifier"));
            }
        }
        loop {
            match self.next() {
                Token::Word(value) => {
                    values.insert(value);
                    match self.peek() {
                        Token::Symbol(",") => {}
                        Token::Symbol(")") => break,
                        other @ (Token::Word(_)
                        | Token::Symbol(_)
                        | Token::Garbage(_)
                        | Token::End) => return Err(other.unexpected("',' or ')'")),
                    }
                }
                Token::Symbol(",") => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.peek() {
                        Token::Symbol(")") => {
                            values.insert(String::new());
                            break;
                        }
                        Token::Symbol(",") => {
                            values.insert(String::new());
                        }
                        Token::Word(_) | Token::Symbol(_) | Token::Garbage(_) | Token::End => {}
                    }
                }
                other @ (Token::Symbol(_) | Token::Garbage(_) | Token::End) => {
                    return Err(other.unexpected("',', or identifier"));
                }
            }
        }
        // The closing parenthesis, which both ways out have seen.
        self.next();
        Ok(values)
    }
}

fn check_values(
    key: &str,
    operator: Operator,
    values: &BTreeSet<String>,
) -> Result<(), SelectorError> {
    let mut invalid = Vec::new();
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        for (i, value) in values.iter().enumerate() {
            if value.parse::<i64>().is_err() {
                let fault = "for 'Gt', 'Lt' operators, the value must be an integer".to_owned();
                invalid.push(InvalidPart::new(
                    &format!("values[{i}]"),
                    value,
                    vec![fault],
                ));
            }
        }
    }
    for (i, value) in values.iter().enumerate() {
        let faults = label_value_faults(value);
        if !faults.is_empty() {
            invalid.push(InvalidPart::new(
                &format!("values[{i}][{key}]"),
                value,
                faults,
            ));
        }
    }
    if invalid.is_empty() {
        Ok(())
    } else {
        Err(SelectorError::Invalid(invalid))
    }
}

/// Why a text is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// A requirement is wrong.
    #[error("unable to parse requirement: {0}")]
    Requirement(Box<Self>),
    /// Something else should stand here.
    #[error("found '{found}', expected: {expected}")]
    Unexpected {
        /// What stands here.
        found: String,
        /// What may.
        expected: &'static str,
    },
    /// No set follows `in` or `notin`.
    #[error("found '{found}' expected: '('")]
    NoSet {
        /// What follows.
        found: String,
    },
    /// A key or some values are no label keys or values.
    #[error("{}", aggregate(.0))]
    Invalid(Vec<InvalidPart>),
}

/// A key or value that breaks the rules of labels.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: Invalid value: {}: {}", quote(value), faults.join("; "))]
pub struct InvalidPart {
    place: String,
    value: String,
    faults: Vec<String>,
}

impl InvalidPart {
    fn new(place: &str, value: &str, faults: Vec<String>) -> Self {
        Self {
            place: place.to_owned(),
            value: value.to_owned(),
            faults,
        }
    }
}

fn aggregate(parts: &[InvalidPart]) -> String {
    match parts {
        [part] => part.to_string(),
        parts => {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            format!("[{}]", parts.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LabelSelector;
    use crate::flags::oracle;

    #[test]
    fn reads_and_prints_as_kubernetes_does() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/selectors.json")) {
            row.check(LabelSelector::parse(&row.input), |row, selector| {
                assert_eq!(selector.to_string(), row.text, "for {:?}", row.input);
                let count = selector.requirements.len() as u64;
                assert_eq!(row.out.as_u64(), Some(count), "for {:?}", row.input);
            });
        }
    }
}
