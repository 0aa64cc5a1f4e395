//! Integers, booleans and floating-point numbers as Go's `strconv` reads them.

use thiserror::Error;

use crate::flags::quote::quote;

/// Reads a signed 64-bit integer in Go's base 0: an optional sign, then decimal, `0x`, `0b`, `0o`, or octal after a
/// leading zero; `_` may stand between digits.
///
/// # Errors
/// As `strconv.ParseInt(text, 0, 64)` words them.
pub(super) fn parse_int(text: &str) -> Result<i64, NumberError> {
    const PARSER: &str = "ParseInt";
    let (negative, magnitude) = split_sign(text);
    let magnitude = base_zero(magnitude).map_err(|fault| fault.of(PARSER, text))?;
    signed(negative, magnitude).ok_or_else(|| Fault::Range.of(PARSER, text))
}

/// Reads an unsigned 64-bit integer in Go's base 0; no sign.
///
/// # Errors
/// As `strconv.ParseUint(text, 0, 64)` words them.
pub(super) fn parse_uint(text: &str) -> Result<u64, NumberError> {
    base_zero(text).map_err(|fault| fault.of("ParseUint", text))
}

/// Reads a signed 32-bit decimal integer.
///
/// # Errors
/// As `strconv.ParseInt(text, 10, 32)` words them.
pub(super) fn parse_decimal(text: &str) -> Result<i32, NumberError> {
    const PARSER: &str = "ParseInt";
    let (negative, magnitude) = split_sign(text);
    let magnitude = digits(magnitude.chars(), 10).map_err(|fault| fault.of(PARSER, text))?;
    signed(negative, magnitude)
        .and_then(|value| i32::try_from(value).ok())
        .ok_or_else(|| Fault::Range.of(PARSER, text))
}

/// Reads one of Go's spellings of true and false.
///
/// # Errors
/// As `strconv.ParseBool` words it.
pub(super) fn parse_bool(text: &str) -> Result<bool, NumberError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Fault::Syntax.of("ParseBool", text)),
    }
}

/// Reads a 32-bit floating-point number: decimal, hexadecimal (`0x1.8p3`), `inf` or `nan`.
///
/// # Errors
/// As `strconv.ParseFloat(text, 32)` words them.
pub(super) fn parse_float(text: &str) -> Result<f32, NumberError> {
    const PARSER: &str = "ParseFloat";
    let (negative, magnitude) = split_sign(text);
    let magnitude = magnitude.to_ascii_lowercase();
    let value = match magnitude.as_str() {
        "inf" | "infinity" => f32::INFINITY,
        "nan" if magnitude.len() == text.len() => f32::NAN,
        _ => {
            let value = match magnitude.strip_prefix("0x") {
                Some(hex) => hex_float(hex),
                None => decimal_float(&magnitude),
            };
            let value = value.ok_or_else(|| Fault::Syntax.of(PARSER, text))?;
            if value.is_infinite() {
                return Err(Fault::Range.of(PARSER, text));
            }
            value
        }
    };
    Ok(if negative { -value } else { value })
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn signed(negative: bool, magnitude: u64) -> Option<i64> {
    if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

fn base_zero(text: &str) -> Result<u64, Fault> {
    let prefixed = |prefix: [&str; 2]| prefix.iter().find_map(|p| text.strip_prefix(*p));
    let (number, base) = if let Some(number) = prefixed(["0x", "0X"]) {
        (number, 16)
    } else if let Some(number) = prefixed(["0o", "0O"]) {
        (number, 8)
    } else if let Some(number) = prefixed(["0b", "0B"]) {
        (number, 2)
    } else if text.len() > 1 && text.starts_with('0') {
        (&text[1..], 8)
    } else {
        (text, 10)
    };
    let value = digits(number.chars().filter(|c| *c != '_'), base)?;
    if underscores_separate_digits(number, base, base != 10) {
        Ok(value)
    } else {
        Err(Fault::Syntax)
    }
}

/// Whether each underscore stands between two digits, or, with `after_prefix`, at the front before one.
fn underscores_separate_digits(number: &str, base: u32, after_prefix: bool) -> bool {
    let mut chars = number.chars().peekable();
    let mut after_digit = after_prefix;
    while let Some(c) = chars.next() {
        let before_digit = chars.peek().is_some_and(|next| next.is_digit(base));
        if c == '_' && !(after_digit && before_digit) {
            return false;
        }
        after_digit = c.is_digit(base);
    }
    true
}

/// Reads digits, of which there has to be one. The first fault from the left counts.
fn digits(text: impl Iterator<Item = char>, base: u32) -> Result<u64, Fault> {
    let mut text = text.peekable();
    if text.peek().is_none() {
        return Err(Fault::Syntax);
    }
    let mut value = 0_u64;
    for c in text {
        let digit = c.to_digit(base).ok_or(Fault::Syntax)?;
        value = value
            .checked_mul(u64::from(base))
            .and_then(|value| value.checked_add(u64::from(digit)))
            .ok_or(Fault::Range)?;
    }
    Ok(value)
}

fn decimal_float(text: &str) -> Option<f32> {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-' | '_');
    if !text.chars().all(numeric)
        || text.starts_with(['+', '-'])
        || !underscores_separate_digits(text, 10, false)
    {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// Reads what follows `0x`: digits with an optional point, then `p` and a decimal exponent of two.
fn hex_float(text: &str) -> Option<f32> {
    if !underscores_separate_digits(text, 16, true) {
        return None;
    }
    let text = text.replace('_', "");
    let (number, exponent) = text.split_once('p')?;
    let (negative, exponent) = split_sign(exponent);
    if exponent.is_empty() || !exponent.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }

    // At most 53 significant bits are kept and what is cut off is remembered in the last one. Rounding that to the
    // 24 bits of the result gives what rounding the exact value would.
    const KEPT: u64 = 1 << 48;
    let mut mantissa: u64 = 0;
    let mut shift: i64 = 0;
    for (position, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(c.to_digit(16)?);
        if mantissa < KEPT {
            mantissa = mantissa << 4 | digit;
        } else {
            mantissa |= u64::from(digit != 0);
            shift += 4;
        }
        if position >= whole.len() {
            shift -= 4;
        }
    }
    // Beyond these bounds the result is zero or too large whatever the mantissa is.
    let exponent: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
    let exponent = if negative { -exponent } else { exponent };
    let exponent = (exponent + shift).clamp(-400, 400) as i32;
    Some((mantissa as f64 * f64::from(exponent).exp2()) as f32)
}

/// Why a text is not a number or a boolean, in the words of Go's `strconv`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("strconv.{parser}: parsing {}: {fault}", quote(text))]
pub struct NumberError {
    parser: &'static str,
    text: String,
    fault: Fault,
}

impl NumberError {
    /// Whether the text is a number, but one too large or too small.
    pub fn is_out_of_range(&self) -> bool {
        self.fault == Fault::Range
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Fault {
    #[error("invalid syntax")]
    Syntax,
    #[error("value out of range")]
    Range,
}

impl Fault {
    fn of(self, parser: &'static str, text: &str) -> NumberError {
        NumberError {
            parser,
            text: text.to_owned(),
            fault: self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{parse_bool, parse_decimal, parse_float, parse_int, parse_uint};
    use crate::flags::oracle;

    #[test]
    fn integers_read_as_in_go() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/integers.json")) {
            row.check(parse_int(&row.input), |row, value| {
                assert_eq!(row.out.as_i64(), Some(value), "for {:?}", row.input);
            });
        }
    }

    #[test]
    fn unsigned_integers_read_as_in_go() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/unsigned.json")) {
            row.check(parse_uint(&row.input), |row, value| {
                assert_eq!(row.out.as_u64(), Some(value), "for {:?}", row.input);
            });
        }
    }

    #[test]
    fn short_decimals_read_as_in_go() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/decimals.json")) {
            row.check(parse_decimal(&row.input), |row, value| {
                assert_eq!(
                    row.out.as_i64(),
                    Some(i64::from(value)),
                    "for {:?}",
                    row.input
                );
            });
        }
    }

    #[test]
    fn booleans_read_as_in_go() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/booleans.json")) {
            row.check(parse_bool(&row.input), |row, value| {
                assert_eq!(row.out.as_bool(), Some(value), "for {:?}", row.input);
            });
        }
    }

    #[test]
    fn floats_read_as_in_go_to_the_last_bit() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/floats.json")) {
            row.check(parse_float(&row.input), |row, value| {
                if row.text == "NaN" {
                    assert!(value.is_nan(), "for {:?}", row.input);
                } else {
                    let bits = u64::from(value.to_bits());
                    assert_eq!(row.out.as_u64(), Some(bits), "for {:?}", row.input);
                }
            });
        }
    }
}
