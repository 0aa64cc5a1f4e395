//! Text as Go quotes it, in messages that have to read like the reference's.

use std::fmt::Write as _;

/// `text` in double quotes, with everything escaped that isn't printable, as Go's `strconv.Quote` does.
///
/// What comes out is one line without control characters, so text from elsewhere can't forge a log line.
/// Which characters outside ASCII are printable is Rust's opinion, that of a newer or older Unicode at worst.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    escape_into(&mut out, text, true);
    out.push('"');
    out
}

/// Appends `text` to `out` with everything escaped that isn't printable, and `"` and `\` too if `quoted`.
pub(crate) fn escape_into(out: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '"' | '\\' if quoted => {
                out.push('\\');
                out.push(c);
            }
            '\x07' => out.push_str(r"\a"),
            '\x08' => out.push_str(r"\b"),
            '\x0c' => out.push_str(r"\f"),
            '\n' => out.push_str(r"\n"),
            '\r' => out.push_str(r"\r"),
            '\t' => out.push_str(r"\t"),
            '\x0b' => out.push_str(r"\v"),
            ' '..='~' => out.push(c),
            _ if is_printable(c) => out.push(c),
            _ => escape_code_point(out, u32::from(c)),
        }
    }
}

fn escape_code_point(out: &mut String, code: u32) {
    let written = match code {
        ..=0x7f => write!(out, r"\x{code:02x}"),
        0x80..=0xffff => write!(out, r"\u{code:04x}"),
        0x1_0000.. => write!(out, r"\U{code:08x}"),
    };
    written.expect("writing to a string can't fail");
}

/// Whether Rust's own debug output would show `c` as it is.
fn is_printable(c: char) -> bool {
    c.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::quote;
    use crate::flags::oracle;

    #[test]
    fn quotes_as_go_does() {
        for row in oracle::rows(include_str!("../../tests/oracle/tables/quotes.json")) {
            assert_eq!(quote(&row.input), row.text, "for {:?}", row.input);
        }
    }
}
