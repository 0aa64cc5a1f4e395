//! The header fields of gRPC over HTTP/2: statuses, texts, timeouts and content types.

use std::time::Duration;

use dialback_core::wire::Status;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

/// The only content type that Konnectivity uses.
pub(crate) const CONTENT_TYPE_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Adds `grpc-status` and `grpc-message`; like grpc-go, the message is there even when empty.
pub(crate) fn put_status(headers: &mut HeaderMap, status: &Status) {
    headers.insert(GRPC_STATUS, HeaderValue::from(status.code.number()));
    let message = HeaderValue::try_from(status.encoded_message())
        .expect("percent-encoded text is printable ASCII");
    headers.insert(GRPC_MESSAGE, message);
}

/// The status in trailers, or in the headers of a trailers-only response.
pub(crate) fn status_of(headers: &HeaderMap) -> Status {
    Status::from_trailers(
        headers.get(GRPC_STATUS).map(HeaderValue::as_bytes),
        headers.get(GRPC_MESSAGE).map(HeaderValue::as_bytes),
    )
}

/// Whether this is `application/grpc`, alone or followed by a subtype or parameters.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value
            .split_at_checked(CONTENT_TYPE_GRPC.len())
            .is_some_and(|(name, rest)| {
                name.eq_ignore_ascii_case(CONTENT_TYPE_GRPC.as_bytes())
                    && matches!(rest.first(), None | Some(b'+' | b';'))
            })
    })
}

/// Reads a `grpc-timeout`: one to eight digits and a unit. `None` if it is malformed.
pub(crate) fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// Writes a `grpc-timeout` in the finest unit that needs no more than eight digits, rounded up.
pub(crate) fn format_timeout(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let nanos = timeout.as_nanos();
    let units: [(u128, char); 6] = [
        (1, 'n'),
        (1_000, 'u'),
        (1_000_000, 'm'),
        (1_000_000_000, 'S'),
        (60_000_000_000, 'M'),
        (3_600_000_000_000, 'H'),
    ];
    let text = units
        .into_iter()
        .map(|(unit, name)| (nanos.div_ceil(unit), name))
        .find(|(amount, _)| *amount <= MOST)
        .map_or_else(
            || format!("{MOST}H"),
            |(amount, name)| format!("{amount}{name}"),
        );
    HeaderValue::try_from(text).expect("digits and a letter are a legal value")
}

#[cfg(test)]
mod tests {
    use dialback_core::wire::Code;

    use super::*;

    #[test]
    fn a_status_survives_the_wire() {
        let mut headers = HeaderMap::new();
        let status = Status::new(Code::Unknown, "Authentifizierung läuft nicht\n");
        put_status(&mut headers, &status);
        assert_eq!(status_of(&headers), status);
    }

    #[test]
    fn an_orderly_end_still_has_a_message() {
        let mut headers = HeaderMap::new();
        put_status(&mut headers, &Status::ok());
        assert_eq!(headers[GRPC_STATUS], "0");
        assert_eq!(headers[GRPC_MESSAGE], "");
    }

    #[test]
    fn content_types() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("Application/gRPC", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn timeouts_are_read() {
        for (text, expected) in [
            ("19998662u", Some(Duration::from_micros(19_998_662))),
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("0m", Some(Duration::ZERO)),
            ("7n", Some(Duration::from_nanos(7))),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("5", None),
            ("+5S", None),
            ("5s", None),
        ] {
            assert_eq!(
                parse_timeout(&HeaderValue::from_static(text)),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn timeouts_are_written_within_eight_digits() {
        for (timeout, expected) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(99_999_999), "99999999n"),
            (Duration::from_nanos(100_000_000), "100000u"),
            (Duration::from_nanos(100_000_001), "100001u"),
            (Duration::from_secs(20), "20000000u"),
            (Duration::from_secs(1000), "1000000m"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(format_timeout(timeout), expected, "{timeout:?}");
        }
    }
}
