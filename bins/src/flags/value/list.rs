//! Comma lists as pflag's string slices read them: one CSV record.

use thiserror::Error;

/// Reads one record of CSV: the first line of `text` that isn't empty, or more where a quoted field goes on.
///
/// Quotes are those of RFC 4180, blanks belong to the fields, an empty text is an empty list, and `\r\n` reads as
/// `\n`.
///
/// # Errors
/// Where a quote stands wrong, in the words of Go's `encoding/csv`.
pub(super) fn parse_record(text: &str) -> Result<Vec<String>, ListError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let text = text
        .strip_suffix('\r')
        .unwrap_or(text)
        .replace("\r\n", "\n");
    let mut lines = (1..).zip(text.split_inclusive('\n'));
    let (start_line, mut line) = lines
        .find(|(_, line)| *line != "\n")
        .ok_or(ListError::EndOfText)?;
    let mut number = start_line;
    // Where `line` begins in its line, counted from 1.
    let mut column = 1;
    let fault = |number, column, kind| ListError::Quote {
        start_line,
        line: number,
        column,
        kind,
    };

    let mut fields = Vec::new();
    loop {
        let Some(quoted) = line.strip_prefix('"') else {
            let (field, rest) = match line.split_once(',') {
                Some((field, rest)) => (field, Some(rest)),
                None => (line.strip_suffix('\n').unwrap_or(line), None),
            };
            if let Some(quote) = field.find('"') {
                return Err(fault(number, column + quote, QuoteFault::Bare));
            }
            fields.push(field.to_owned());
            let Some(rest) = rest else {
                return Ok(fields);
            };
            column += field.len() + 1;
            line = rest;
            continue;
        };

        line = quoted;
        column += 1;
        let mut field = String::new();
        loop {
            let Some((part, rest)) = line.split_once('"') else {
                // The field goes on in the next line.
                field.push_str(line);
                column += line.len();
                let Some((next_number, next)) = lines.next() else {
                    return Err(fault(number, column, QuoteFault::Extraneous));
                };
                (number, line, column) = (next_number, next, 1);
                continue;
            };
            field.push_str(part);
            column += part.len() + 1;
            if let Some(rest) = rest.strip_prefix('"') {
                field.push('"');
                column += 1;
                line = rest;
            } else if let Some(rest) = rest.strip_prefix(',') {
                column += 1;
                line = rest;
                break;
            } else if rest.is_empty() || rest == "\n" {
                fields.push(field);
                return Ok(fields);
            } else {
                return Err(fault(number, column - 1, QuoteFault::Extraneous));
            }
        }
        fields.push(field);
    }
}

/// A list in pflag's printed form: `[a,b]`, fields quoted where they need it.
pub(super) fn print_list(items: &[String]) -> String {
    let fields: Vec<String> = items.iter().map(|item| csv_field(item)).collect();
    format!("[{}]", fields.join(","))
}

fn csv_field(item: &str) -> String {
    let needs_quotes = item.contains([',', '"', '\r', '\n'])
        || item == r"\."
        || item.starts_with(char::is_whitespace);
    if needs_quotes {
        format!("\"{}\"", item.replace('"', "\"\""))
    } else {
        item.to_owned()
    }
}

/// Why a text is not a CSV record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    /// There are only empty lines.
    #[error("EOF")]
    EndOfText,
    /// A quote stands where none may, or is missing.
    #[error("{}parse error on line {line}, column {column}: {kind}", record(*start_line, *line))]
    Quote {
        /// The line where the record begins, from 1.
        start_line: usize,
        /// The line of the fault.
        line: usize,
        /// The byte of the fault in its line, from 1.
        column: usize,
        /// What is wrong.
        kind: QuoteFault,
    },
}

/// How a quote can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuoteFault {
    /// Inside a field that does not begin with one.
    #[error("bare \" in non-quoted-field")]
    Bare,
    /// More text follows the closing quote, or there is none.
    #[error("extraneous or missing \" in quoted-field")]
    Extraneous,
}

fn record(start_line: usize, line: usize) -> String {
    if start_line == line {
        String::new()
    } else {
        format!("record on line {start_line}; ")
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_record, print_list};
    use crate::flags::oracle;

    #[test]
    fn reads_and_prints_as_pflag_does() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/lists.json")) {
            row.check(parse_record(&row.input), |row, items| {
                assert_eq!(row.out, serde_json::json!(items), "for {:?}", row.input);
                assert_eq!(print_list(&items), row.text, "for {:?}", row.input);
            });
        }
    }
}
