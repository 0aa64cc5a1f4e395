//! The trace that a dial belongs to.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The value of a `traceparent` header (W3C Trace Context, section 3.2): which trace a request belongs to, and which part of
/// it has sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: TraceId,
    parent: ParentId,
}

/// A trace: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// What in a trace has sent a request: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParentId(u64);

/// Text that is no `traceparent`; the header is then to be taken as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is to be a traceparent such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct InvalidTraceParent;

/// The name of the header, or of a gRPC call's metadata.
pub const TRACE_PARENT: &str = "traceparent";

impl TraceParent {
    /// The trace.
    #[must_use]
    pub const fn trace_id(&self) -> &TraceId {
        &self.trace
    }

    /// What has sent the request, the parent of whatever is recorded here.
    #[must_use]
    pub const fn parent_id(&self) -> &ParentId {
        &self.parent
    }

    /// Reads all values of [`TRACE_PARENT`] in a request; `None` unless there is one that makes sense and no other.
    #[must_use]
    pub fn from_headers<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => std::str::from_utf8(value).ok()?.trim().parse().ok(),
            (None | Some(_), _) => None,
        }
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        parse(text).ok_or(InvalidTraceParent)
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let mut parts = text.split('-');
    let version = digits(parts.next()?, 2)?;
    let trace = digits(parts.next()?, 32)?;
    let parent = digits(parts.next()?, 16)?;
    digits(parts.next()?, 2)?;
    // Only later versions may say more, and 255 is none (section 3.2.2.1).
    let is_version = version != 0xff && (version > 0 || parts.next().is_none());
    let parent = u64::try_from(parent).ok()?;
    (is_version && trace != 0 && parent != 0).then_some(TraceParent {
        trace: TraceId(trace),
        parent: ParentId(parent),
    })
}

/// So many hexadecimal digits, which are small ones (section 3.2.2).
fn digits(text: &str, count: usize) -> Option<u128> {
    let is_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    let is_number = text.len() == count && text.bytes().all(is_hex);
    u128::from_str_radix(text, 16).ok().filter(|_| is_number)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for ParentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Debug for ParentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParentId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_the_recommendation_has_it() {
        let header = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace =
            TraceParent::from_headers([&header[..]]).expect("it is the recommendation's example");
        assert_eq!(
            trace.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(trace.parent_id().to_string(), "b7ad6b7169203331");
        let later =
            "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-brings";
        assert!(later.parse::<TraceParent>().is_ok());
        for wrong in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(
                wrong.parse::<TraceParent>(),
                Err(InvalidTraceParent),
                "{wrong}"
            );
        }
        assert_eq!(TraceParent::from_headers([&b"\xff"[..]]), None);
    }
}
