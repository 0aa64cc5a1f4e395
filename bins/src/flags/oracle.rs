//! Reading the tables of what Go answers, which the tests of the value parsers compare with.

#![expect(
    clippy::unwrap_used,
    reason = "test code: a table that does not parse fails the test"
)]

use std::fmt::Display;

use serde_json::Value as Json;

/// One input with Go's answer.
pub(super) struct Row {
    pub(super) input: String,
    /// The value; null if there is an error.
    pub(super) out: Json,
    /// The value as Go prints it; empty if the table has none.
    pub(super) text: String,
    pub(super) error: Option<String>,
}

impl Row {
    /// Fails unless `answer` is Go's: the value (compared with `out` or else `text` by `same`), or the same error text.
    pub(super) fn check<T, E: Display>(&self, answer: Result<T, E>, same: impl FnOnce(&Self, T)) {
        match answer {
            Ok(value) => {
                assert_eq!(self.error, None, "{:?} was taken", self.input);
                same(self, value);
            }
            Err(error) => assert_eq!(
                Some(error.to_string()),
                self.error,
                "the answer to {:?}",
                self.input
            ),
        }
    }
}

/// The rows of a table, which has some.
pub(super) fn rows(table: &str) -> Vec<Row> {
    let table: Json = serde_json::from_str(table).unwrap();
    let rows: Vec<Row> = table
        .as_array()
        .unwrap()
        .iter()
        .map(|row| Row {
            input: row["in"].as_str().unwrap().to_owned(),
            out: row["out"].clone(),
            text: row["text"].as_str().unwrap_or_default().to_owned(),
            error: row["error"].as_str().map(str::to_owned),
        })
        .collect();
    assert!(!rows.is_empty());
    rows
}
