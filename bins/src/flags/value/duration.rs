//! Spans of time as Go writes them: `1h0m0s`, `1.5h`, `100ms`.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

const NANOSECOND: u64 = 1;
const MICROSECOND: u64 = 1_000 * NANOSECOND;
const MILLISECOND: u64 = 1_000 * MICROSECOND;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A signed span of time in whole nanoseconds, about 292 years at most: Go's `time.Duration`.
///
/// Flags may be negative; what an option allows is checked after parsing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration {
    /// Nanoseconds.
    pub nanoseconds: i64,
}

impl GoDuration {
    /// No time at all.
    pub const ZERO: Self = Self { nanoseconds: 0 };

    /// That many seconds.
    pub const fn from_secs(seconds: u32) -> Self {
        Self {
            nanoseconds: seconds as i64 * SECOND as i64,
        }
    }

    /// Reads Go's text form: an optional sign, then decimals with a unit each (`ns us µs ms s m h`), or a bare `0`.
    /// Digits below a nanosecond are cut off.
    ///
    /// # Errors
    /// What is wrong with the text, in the words of Go's `time.ParseDuration`.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }

        // One more nanosecond fits below zero than above.
        let limit = 1_u64 << 63;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let number = Decimal::take(&mut rest).ok_or_else(invalid)?;
            let unit_len = rest
                .find(|c: char| c == '.' || c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (unit, after) = rest.split_at(unit_len);
            if unit.is_empty() {
                return Err(DurationError::MissingUnit(text.to_owned()));
            }
            rest = after;
            let unit = unit_nanoseconds(unit).ok_or_else(|| DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            })?;
            total = number
                .times(unit)
                .and_then(|span| total.checked_add(span))
                .filter(|total| *total <= limit)
                .ok_or_else(invalid)?;
        }
        let nanoseconds = if negative {
            0_i64.checked_sub_unsigned(total)
        } else {
            i64::try_from(total).ok()
        };
        Ok(Self {
            nanoseconds: nanoseconds.ok_or_else(invalid)?,
        })
    }

    /// The span, or `None` below zero.
    pub fn non_negative(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds)
            .ok()
            .map(Duration::from_nanos)
    }

    /// The span if it is above zero.
    pub fn positive(self) -> Option<Duration> {
        self.non_negative().filter(|span| !span.is_zero())
    }
}

fn unit_nanoseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => NANOSECOND,
        // Both Unicode spellings of µ: the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// A decimal number without sign or exponent.
struct Decimal {
    whole: u64,
    /// Fraction digits that fit, as an integer, and what to divide it by.
    fraction: u64,
    scale: f64,
}

impl Decimal {
    /// Takes a number off the front of `rest`; `None` if there is none or its whole part is too large.
    fn take(rest: &mut &str) -> Option<Self> {
        let whole_digits = take_digits(rest);
        let mut whole: u64 = 0;
        for digit in whole_digits.bytes() {
            whole = whole
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))
                .filter(|whole| *whole <= 1 << 63)?;
        }
        let mut number = Self {
            whole,
            fraction: 0,
            scale: 1.0,
        };
        let mut fraction_digits = "";
        if let Some(after) = rest.strip_prefix('.') {
            *rest = after;
            fraction_digits = take_digits(rest);
            for digit in fraction_digits.bytes() {
                let Some(longer) = number
                    .fraction
                    .checked_mul(10)
                    .and_then(|f| f.checked_add(u64::from(digit - b'0')))
                    .filter(|f| i64::try_from(*f).is_ok())
                else {
                    break;
                };
                number.fraction = longer;
                number.scale *= 10.0;
            }
        }
        (!whole_digits.is_empty() || !fraction_digits.is_empty()).then_some(number)
    }

    /// The number of nanoseconds in this many units; `None` if too large.
    ///
    /// The fraction goes through floating point because Go's does: the last nanosecond depends on it.
    fn times(&self, unit: u64) -> Option<u64> {
        let whole = self.whole.checked_mul(unit)?;
        let fraction = self.fraction as f64 * (unit as f64 / self.scale);
        whole.checked_add(fraction as u64)
    }
}

/// Takes the ASCII digits off the front.
fn take_digits<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    digits
}

/// Go's printed form: `1h0m0s`, `1.5s`, `100ms`, `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.nanoseconds.unsigned_abs();
        if total == 0 {
            return f.write_str("0s");
        }
        if self.nanoseconds < 0 {
            f.write_str("-")?;
        }
        let (unit, name) = match total {
            ..MICROSECOND => (NANOSECOND, "ns"),
            MICROSECOND..MILLISECOND => (MICROSECOND, "\u{b5}s"),
            MILLISECOND..SECOND => (MILLISECOND, "ms"),
            SECOND.. => (SECOND, "s"),
        };
        let mut rest = total;
        if rest >= HOUR {
            write!(f, "{}h", rest / HOUR)?;
        }
        if total >= MINUTE {
            rest %= HOUR;
            write!(f, "{}m", rest / MINUTE)?;
            rest %= MINUTE;
        }
        write!(f, "{}", rest / unit)?;
        if !rest.is_multiple_of(unit) {
            let width = unit.ilog10() as usize;
            let fraction = format!("{:0width$}", rest % unit);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str(name)
    }
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Not of the form, or too large.
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    /// A number stands alone.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// A number is followed by something else than a unit.
    #[error("time: unknown unit {} in duration {}", quote(unit), quote(text))]
    UnknownUnit {
        /// What follows the number.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Quotes as Go's `time` package does, which escapes all but printable ASCII byte by byte.
fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' | 0x7f => out.push(char::from(byte)),
            _ => out.push_str(&format!(r"\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::GoDuration;
    use crate::flags::oracle;

    #[test]
    fn reads_and_prints_as_go_does() {
        for row in oracle::rows(include_str!("../../../tests/oracle/tables/durations.json")) {
            row.check(GoDuration::parse(&row.input), |row, span| {
                assert_eq!(
                    row.out.as_i64(),
                    Some(span.nanoseconds),
                    "for {:?}",
                    row.input
                );
                assert_eq!(span.to_string(), row.text, "for {:?}", row.input);
            });
        }
    }

    quickcheck! {
        fn what_is_printed_reads_back(nanoseconds: i64) -> bool {
            let span = GoDuration { nanoseconds };
            GoDuration::parse(&span.to_string()) == Ok(span)
        }

        fn any_text_gets_an_answer(text: String) -> bool {
            let _ = GoDuration::parse(&text);
            true
        }
    }
}
