//! URL query strings exactly as Go's `url.ParseQuery` takes them.
//!
//! The crates of the field never fail, and Go does: on `;` and on bad escapes. Agents rely on being told.

use std::fmt::Write as _;

use super::status::hex_digit;

/// Go's bound on the parameters of a query (`net/url`, `defaultMaxParams`); empty ones count.
const MAX_PARAMETERS: usize = 10_000;

/// Why a query string is refused, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A `;`, which Go takes for a separator of the past.
    #[error("invalid semicolon separator in query")]
    Semicolon,
    /// A `%` without two hexadecimal digits; the escape as it stands, quoted as in Go.
    #[error("invalid URL escape {0}")]
    Escape(String),
    /// More than 10,000 parameters.
    #[error("number of URL query parameters exceeded limit")]
    TooMany,
}

/// A decoded parameter; Go strings are bytes, hence not always UTF-8.
type Parameter = (Vec<u8>, Vec<u8>);

/// The decoded parameters in the order of the text.
///
/// Of several faults Go reports the last semicolon, else the first bad escape; so does this.
pub(super) fn parse(query: &[u8]) -> Result<Vec<Parameter>, QueryError> {
    if query.iter().filter(|byte| **byte == b'&').count() >= MAX_PARAMETERS {
        return Err(QueryError::TooMany);
    }
    if query.contains(&b';') {
        return Err(QueryError::Semicolon);
    }
    query
        .split(|byte| *byte == b'&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| {
            let mut halves = parameter.splitn(2, |byte| *byte == b'=');
            let key = unescape(halves.next().unwrap_or_default())?;
            let value = unescape(halves.next().unwrap_or_default())?;
            Ok((key, value))
        })
        .collect()
}

fn unescape(text: &[u8]) -> Result<Vec<u8>, QueryError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => decoded.push(b' '),
            b'%' => {
                let [high, low, after_escape @ ..] = after else {
                    return Err(bad_escape(first, after));
                };
                let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) else {
                    return Err(bad_escape(first, after));
                };
                decoded.push(high << 4 | low);
                rest = after_escape;
            }
            byte => decoded.push(*byte),
        }
    }
    Ok(decoded)
}

/// The error for an escape: the percent sign and at most two bytes after it.
fn bad_escape(percent: &u8, after: &[u8]) -> QueryError {
    let mut escape = vec![*percent];
    escape.extend(after.iter().take(2));
    QueryError::Escape(quote(&escape))
}

/// Go's `strconv.Quote` for texts of a few bytes, but for its names of rare control characters.
fn quote(text: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for part in text.utf8_chunks() {
        for character in part.valid().chars() {
            match character {
                '"' | '\\' => quoted.extend(['\\', character]),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                control if control.is_ascii_control() => push_hex(&mut quoted, control as u8),
                character => quoted.push(character),
            }
        }
        for byte in part.invalid() {
            push_hex(&mut quoted, *byte);
        }
    }
    quoted.push('"');
    quoted
}

fn push_hex(text: &mut String, byte: u8) {
    write!(text, "\\x{byte:02x}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    type Expected = (&'static [u8], &'static [u8]);

    /// Cases and answers from Go 1.26's `url.ParseQuery`.
    #[test]
    fn queries_parse_as_in_go() {
        let accepted: [(&[u8], &[Expected]); 12] = [
            (b"", &[]),
            (b"&&", &[]),
            (b"a", &[(b"a", b"")]),
            (b"a=", &[(b"a", b"")]),
            (b"=a", &[(b"", b"a")]),
            (b"=", &[(b"", b"")]),
            (b"a=b=c", &[(b"a", b"b=c")]),
            (b"a=1&a=2&b=3", &[(b"a", b"1"), (b"a", b"2"), (b"b", b"3")]),
            (b"a+b=c+d", &[(b"a b", b"c d")]),
            (b"%61=%2B%3b%26%3D", &[(b"a", b"+;&=")]),
            (b"a=\xff%fF", &[(b"a", b"\xff\xff")]),
            (b"a=[::1]:80 /?#", &[(b"a", b"[::1]:80 /?#")]),
        ];
        for (query, expected) in accepted {
            let expected: Vec<Parameter> = expected
                .iter()
                .map(|(key, value)| (key.to_vec(), value.to_vec()))
                .collect();
            assert_eq!(parse(query), Ok(expected), "{}", query.escape_ascii());
        }
    }

    #[test]
    fn faults_are_told_in_go_words() {
        let refused: [(&[u8], &str); 9] = [
            (b"a;b", "invalid semicolon separator in query"),
            (b"a=%zz&b=;", "invalid semicolon separator in query"),
            (b"a=%zz", "invalid URL escape \"%zz\""),
            (b"%4=1&a=%zz", "invalid URL escape \"%4\""),
            (b"%41%", "invalid URL escape \"%\""),
            (b"a=%g1234", "invalid URL escape \"%g1\""),
            (b"a=%\"\\", "invalid URL escape \"%\\\"\\\\\""),
            (b"a=%\xff\x01", "invalid URL escape \"%\\xff\\x01\""),
            ("a=%\u{e9}".as_bytes(), "invalid URL escape \"%\u{e9}\""),
        ];
        for (query, expected) in refused {
            let error = parse(query).expect_err("a faulty query");
            assert_eq!(error.to_string(), expected, "{}", query.escape_ascii());
        }
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        let separators = |count| vec![b'&'; count];
        assert_eq!(parse(&separators(MAX_PARAMETERS - 1)), Ok(Vec::new()));
        assert_eq!(parse(&separators(MAX_PARAMETERS)), Err(QueryError::TooMany));
    }

    quickcheck! {
        fn any_bytes_parse_or_fail(query: Vec<u8>) -> bool {
            match parse(&query) {
                Ok(parameters) => parameters.len() <= query.len(),
                Err(_) => query.iter().any(|byte| b";%".contains(byte)),
            }
        }
    }
}
