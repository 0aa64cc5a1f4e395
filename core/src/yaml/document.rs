//! YAML as a small tree that remembers its lines.
//!
//! A tree instead of serde: every unknown field is told with its path and line, all of them at once, as
//! kube-apiserver's strict decoder does, and values are taken for what its YAML 1.1 takes them for.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::error::YamlError;

/// Files larger than this are refused; real ones have a few hundred bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// Values that a document may have, those repeated by aliases included.
const MAX_NODES: usize = 10_000;
/// How deep values may be nested.
const MAX_DEPTH: usize = 32;

/// One value.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Boolean,
    /// As it is written.
    Number(String),
    Text(String),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: usize,
    pub(crate) value: Node,
}

impl Value {
    /// As errors call it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "an object",
        }
    }
}

/// Reads the first document; what follows it is not looked at, as in kube-apiserver.
pub(crate) fn parse(text: &str) -> Result<Node, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLarge);
    }
    let mut loader = Loader {
        parser: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        nodes: 0,
    };
    loop {
        match loader.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, span) => {
                return Ok(Node {
                    line: span.start.line(),
                    value: Value::Null,
                });
            }
            (event, span) => return loader.node(event, span, 0),
        }
    }
}

struct Loader<'input> {
    parser: Parser<'input, StrInput<'input>>,
    /// What aliases may name.
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'input> Loader<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Span), YamlError> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(YamlError::Syntax {
                line: error.marker().line(),
                problem: error.info().to_owned(),
            }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'input>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let line = span.start.line();
        self.count(line, 1)?;
        if depth > MAX_DEPTH {
            return Err(YamlError::TooDeep { line });
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(&text, style, tag.as_deref()))
            }
            Event::SequenceStart(anchor, _) => (anchor, self.sequence(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.mapping(depth)?),
            Event::Alias(anchor) => return self.alias(anchor, line),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => {
                return Err(YamlError::Syntax {
                    line,
                    problem: "a value is missing".to_owned(),
                });
            }
        };
        let node = Node { line, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Sequence(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let key = match event {
                Event::MappingEnd => break,
                Event::Scalar(key, style, ..) => {
                    let is_merge = style == ScalarStyle::Plain && key == "<<";
                    (!is_merge).then(|| key.into_owned())
                }
                Event::Alias(_)
                | Event::SequenceStart(..)
                | Event::MappingStart(..)
                | Event::SequenceEnd
                | Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {
                    return Err(YamlError::Syntax {
                        line,
                        problem: "a key is not a string".to_owned(),
                    });
                }
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(key) = key else {
                merged.push(value);
                continue;
            };
            if entries.iter().any(|entry| entry.key == key) {
                return Err(YamlError::DuplicateKey { line, key });
            }
            entries.push(Entry { key, line, value });
        }
        for node in merged {
            merge(&mut entries, node)?;
        }
        Ok(Value::Mapping(entries))
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<Node, YamlError> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err(YamlError::Syntax {
                line,
                problem: "an alias names a value that it is part of".to_owned(),
            });
        };
        self.count(line, size(&node))?;
        Ok(Node { line, ..node })
    }

    fn count(&mut self, line: usize, nodes: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(YamlError::TooManyValues { line });
        }
        Ok(())
    }
}

/// Adds what a merge key (`<<`, YAML 1.1) names, unless the mapping has it already.
fn merge(entries: &mut Vec<Entry>, node: Node) -> Result<(), YamlError> {
    let refused = |line| YamlError::Syntax {
        line,
        problem: "map merge requires map or sequence of maps as the value".to_owned(),
    };
    let nodes = match node.value {
        Value::Sequence(nodes) => nodes,
        Value::Mapping(_) => vec![node],
        Value::Null | Value::Boolean | Value::Number(_) | Value::Text(_) => {
            return Err(refused(node.line));
        }
    };
    for node in nodes {
        let Value::Mapping(more) = node.value else {
            return Err(refused(node.line));
        };
        for entry in more {
            if !entries.iter().any(|known| known.key == entry.key) {
                entries.push(entry);
            }
        }
    }
    Ok(())
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Sequence(items) => items.iter().map(size).sum::<usize>(),
        Value::Mapping(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
        Value::Null | Value::Boolean | Value::Number(_) | Value::Text(_) => 0,
    }
}

/// What a scalar is in YAML 1.1 as go-yaml reads it.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if style != ScalarStyle::Plain || is_text {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" | "n"
        | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            Value::Boolean
        }
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return false;
    }
    let plain = digits.replace('_', "");
    let radix = |prefix: &str, radix| {
        plain
            .strip_prefix(prefix)
            .is_some_and(|digits| u64::from_str_radix(digits, radix).is_ok())
    };
    radix("0x", 16) || radix("0o", 8) || radix("0b", 2) || plain.parse::<f64>().is_ok()
}
