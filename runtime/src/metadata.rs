//! HTTP/2 headers as the core's metadata: the core does not know the `http` crate.

use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue};

/// All values of a header, in order.
pub(crate) fn header_values<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// Sets a header.
///
/// # Errors
/// No header can carry the value.
pub(crate) fn set(
    headers: &mut HeaderMap,
    name: &'static str,
    value: &str,
) -> Result<(), InvalidHeaderValue> {
    headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
    Ok(())
}

/// Sets a header; a value that no header can carry is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if set(headers, name, value).is_err() {
        tracing::warn!(name, value, "not sent: no header can carry the value");
    }
}

/// Sets a header that must not come into a log or a compression table.
pub(crate) fn insert_secret(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.remove(name);
    append_secret(headers, name, value);
}

/// As [`insert_secret`], beside the values that are there.
pub(crate) fn append_secret(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(mut value) = HeaderValue::from_str(value) {
        value.set_sensitive(true);
        headers.append(HeaderName::from_static(name), value);
    }
}
