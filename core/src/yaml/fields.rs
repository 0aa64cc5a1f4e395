//! The fields of an object, taken one by one; what is left over is unknown.

use super::document::{Entry, Node, Value};
use super::error::Problem;

/// An object while it is read. Null counts as an empty one, as it does for Go's decoder.
pub(crate) struct Fields<'a> {
    path: String,
    line: usize,
    left: Vec<&'a Entry>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Fields<'a> {
    /// Reads the object `node` at `path`; [`Fields::finish`] tells of what was not taken.
    pub(crate) fn of(node: &'a Node, path: String, problems: &'a mut Vec<Problem>) -> Self {
        let left = match &node.value {
            Value::Mapping(entries) => entries.iter().collect(),
            Value::Null => Vec::new(),
            other @ (Value::Boolean | Value::Number(_) | Value::Text(_) | Value::Sequence(_)) => {
                problems.push(wrong_type(node.line, &path, "an object", other));
                Vec::new()
            }
        };
        Self {
            path,
            line: node.line,
            left,
            problems,
        }
    }

    /// A string; empty if it is absent.
    pub(crate) fn text(&mut self, name: &str) -> String {
        let Some((node, path)) = self.take(name) else {
            return String::new();
        };
        match &node.value {
            Value::Text(text) => text.clone(),
            Value::Null => String::new(),
            other
            @ (Value::Boolean | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_)) => {
                let problem = wrong_type(node.line, &path, "a string", other);
                self.problems.push(problem);
                String::new()
            }
        }
    }

    /// A string under one of several names; the first that is not empty.
    pub(crate) fn text_under(&mut self, names: &[&str]) -> String {
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
    pub(crate) fn object<T>(&mut self, name: &str, read: impl Fn(Fields<'_>) -> T) -> Option<T> {
        let (node, path) = self.take(name)?;
        match &node.value {
            Value::Null => None,
            Value::Boolean
            | Value::Number(_)
            | Value::Text(_)
            | Value::Sequence(_)
            | Value::Mapping(_) => Some(read(Fields::of(node, path, self.problems))),
        }
    }

    /// A list of objects; empty if it is absent.
    pub(crate) fn objects<T>(&mut self, name: &str, read: impl Fn(Fields<'_>) -> T) -> Vec<T> {
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
            other @ (Value::Boolean | Value::Number(_) | Value::Text(_) | Value::Mapping(_)) => {
                let problem = wrong_type(node.line, &path, "a list", other);
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    /// What `read` makes of a scalar; `None` if it is absent or null, or makes no sense.
    pub(crate) fn value<T, E: ToString>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (node, path) = self.take(name)?;
        if matches!(node.value, Value::Null) {
            return None;
        }
        scalar(node, &path, &read)
            .map_err(|problem| self.problems.push(problem))
            .ok()
    }

    /// What `read` makes of the scalars of a list; empty if it is absent.
    pub(crate) fn values<T, E: ToString>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let Some((node, path)) = self.take(name) else {
            return Vec::new();
        };
        match &node.value {
            Value::Null => Vec::new(),
            Value::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    match scalar(item, &format!("{path}[{at}]"), &read) {
                        Ok(value) => values.push(value),
                        Err(problem) => self.problems.push(problem),
                    }
                }
                values
            }
            other @ (Value::Boolean | Value::Number(_) | Value::Text(_) | Value::Mapping(_)) => {
                let problem = wrong_type(node.line, &path, "a list", other);
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    /// Whether the field is there and not null, if it has not been taken.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.untaken(name)
            .is_some_and(|value| !matches!(value, Value::Null))
    }

    /// Whether the field is there with nothing in it, if it has not been taken.
    pub(crate) fn is_empty_list(&self, name: &str) -> bool {
        self.untaken(name).is_some_and(|value| match value {
            Value::Null => true,
            Value::Sequence(items) => items.is_empty(),
            Value::Boolean | Value::Number(_) | Value::Text(_) | Value::Mapping(_) => false,
        })
    }

    fn untaken(&self, name: &str) -> Option<&'a Value> {
        let entry = self.left.iter().find(|entry| entry.key == name)?;
        Some(&entry.value.value)
    }

    /// Says so unless the document is of this kind, in our first version.
    pub(crate) fn is_to_be(&mut self, kind: &str) {
        for (field, expected) in [("apiVersion", "dialback/v1"), ("kind", kind)] {
            if self.text(field) != expected {
                self.refuse(field, format!("is to be {expected}"));
            }
        }
    }

    /// Says that the object makes no sense, or its field `name` if that is not empty.
    pub(crate) fn refuse(&mut self, name: &str, why: impl Into<String>) {
        let path = if name.is_empty() {
            self.path.clone()
        } else {
            join(&self.path, name)
        };
        self.problems.push(Problem::Invalid {
            line: self.line,
            path,
            why: why.into(),
        });
    }

    /// Whatever was not taken is unknown.
    pub(crate) fn finish(self) {
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

fn scalar<T, E: ToString>(
    node: &Node,
    path: &str,
    read: impl Fn(&str) -> Result<T, E>,
) -> Result<T, Problem> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => read(text).map_err(|error| Problem::Invalid {
            line: node.line,
            path: path.to_owned(),
            why: error.to_string(),
        }),
        other @ (Value::Null | Value::Boolean | Value::Sequence(_) | Value::Mapping(_)) => {
            Err(wrong_type(node.line, path, "a string or a number", other))
        }
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
