//! The fields of an object, taken one by one; what is left over is unknown.

use super::document::{Entry, Node, Value};
use super::error::Problem;

/// An object while it is read. Null counts as an empty one, as it does for Go's decoder.
pub(super) struct Fields<'a> {
    path: String,
    left: Vec<&'a Entry>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// Reads the object `node` at `path`; [`Fields::finish`] tells of what was not taken.
    pub(super) fn of(node: &'a Node, path: String, problems: &'a mut Vec<Problem>) -> Self {
        let left = match &node.value {
            Value::Mapping(entries) => entries.iter().collect(),
            Value::Null => Vec::new(),
            other @ (Value::Boolean | Value::Number | Value::Text(_) | Value::Sequence(_)) => {
                problems.push(wrong_type(node.line, &path, "an object", other));
                Vec::new()
            }
        };
        Self {
            path,
            left,
            problems,
        }
    }

    /// A string; empty if it is absent.
    pub(super) fn text(&mut self, name: &str) -> String {
        let Some((node, path)) = self.take(name) else {
            return String::new();
        };
        match &node.value {
            Value::Text(text) => text.clone(),
            Value::Null => String::new(),
            other @ (Value::Boolean | Value::Number | Value::Sequence(_) | Value::Mapping(_)) => {
                let problem = wrong_type(node.line, &path, "a string", other);
                self.problems.push(problem);
                String::new()
            }
        }
    }

    /// A string under one of several names; the first that is not empty.
    pub(super) fn text_under(&mut self, names: &[&str]) -> String {
        let mut found = String::new();
        for name in names {
            let text = self.text(name);
            if found.is_empty() {
                found = text;
            }
        }
        found
    }

    /// An object, if it is there and not null.
    pub(super) fn object<T>(&mut self, name: &str, read: impl Fn(Fields<'_>) -> T) -> Option<T> {
        let (node, path) = self.take(name)?;
        match &node.value {
            Value::Null => None,
            Value::Boolean
            | Value::Number
            | Value::Text(_)
            | Value::Sequence(_)
            | Value::Mapping(_) => Some(read(Fields::of(node, path, self.problems))),
        }
    }

    /// A list of objects; empty if it is absent.
    pub(super) fn objects<T>(&mut self, name: &str, read: impl Fn(Fields<'_>) -> T) -> Vec<T> {
        let Some((node, path)) = self.take(name) else {
            return Vec::new();
        };
        match &node.value {
            Value::Null => Vec::new(),
            Value::Sequence(items) => items
                .iter()
                .enumerate()
                .map(|(at, item)| read(Fields::of(item, format!("{path}[{at}]"), self.problems)))
                .collect(),
            other @ (Value::Boolean | Value::Number | Value::Text(_) | Value::Mapping(_)) => {
                let problem = wrong_type(node.line, &path, "a list", other);
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    /// Whatever was not taken is unknown.
    pub(super) fn finish(self) {
        for entry in self.left {
            self.problems.push(Problem::UnknownField {
                line: entry.line,
                path: join(&self.path, &entry.key),
            });
        }
    }

    fn take(&mut self, name: &str) -> Option<(&'a Node, String)> {
        let at = self.left.iter().position(|entry| entry.key == name)?;
        let entry = self.left.remove(at);
        Some((&entry.value, join(&self.path, name)))
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn wrong_type(line: usize, path: &str, expected: &'static str, found: &Value) -> Problem {
    Problem::WrongType {
        line,
        path: path.to_owned(),
        expected,
        found: found.name(),
    }
}
