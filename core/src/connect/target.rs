//! The destination in a CONNECT request's target, as Go's `net/http` and `net/url` see it.

use std::net::Ipv6Addr;

/// The target, or the `Host` header, cannot be understood; the request is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Where a CONNECT request wants to go.
///
/// The target without userinfo, path and query. A target that starts with `/` or has no host defers to the
/// `Host` header; without one the destination is empty, which the agent will refuse.
pub(super) fn destination(target: &str, host: Option<&str>) -> Result<String, Malformed> {
    let target_host = if target.starts_with('/') {
        check_escapes(target)?;
        String::new()
    } else {
        authority(target)?
    };
    Ok(if target_host.is_empty() {
        host.unwrap_or_default().to_owned()
    } else {
        target_host
    })
}

/// Whether Go takes the target of a method other than CONNECT for a URI: a path, `*` or a scheme.
pub(super) fn is_request_uri(target: &str) -> bool {
    if target.starts_with('/') {
        return check_escapes(target).is_ok();
    }
    let scheme = target.split_once(':').map(|(scheme, _)| scheme);
    target == "*"
        || scheme.is_some_and(|scheme| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        })
}

/// Whether a `Host` header holds only bytes that a host may have
/// (Go, `golang.org/x/net/http/httpguts`, `ValidHostHeader`).
pub(super) fn is_valid_host_header(host: &[u8]) -> bool {
    host.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(byte))
}

/// The host and port of `[userinfo@]host[:port][/path][?query]` (Go, `net/url`, `parseAuthority`).
fn authority(target: &str) -> Result<String, Malformed> {
    let (target, _query) = target.split_once('?').unwrap_or((target, ""));
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    check_escapes(path)?;
    match authority.rsplit_once('@') {
        Some((userinfo, host)) => {
            let allowed =
                |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
            if !userinfo.bytes().all(allowed) {
                return Err(Malformed);
            }
            check_escapes(userinfo)?;
            host_and_port(host)
        }
        None => host_and_port(authority),
    }
}

fn host_and_port(text: &str) -> Result<String, Malformed> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.rsplit_once(']').ok_or(Malformed)?;
        // A zone's percent sign is itself escaped (RFC 6874).
        let (address, zone) = match address.split_once("%25") {
            Some((address, zone)) => (address, Some(zone)),
            None => (address, None),
        };
        if address.parse::<Ipv6Addr>().is_err() || !is_optional_port(port) {
            return Err(Malformed);
        }
        return Ok(match zone {
            Some(zone) if is_zone(zone) => format!("[{address}%{zone}]{port}"),
            Some(_) => return Err(Malformed),
            None => text.to_owned(),
        });
    }
    let port_at = text.find(':').unwrap_or(text.len());
    let (name, port) = text.split_at(port_at);
    if !is_optional_port(port) {
        return Err(Malformed);
    }
    Ok(unescape_name(name)? + port)
}

/// Empty, or a colon and any number of digits: the agent judges the number.
fn is_optional_port(port: &str) -> bool {
    port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The bytes of interface names; escaped ones are refused, though Go decodes some.
fn is_zone(zone: &str) -> bool {
    !zone.is_empty()
        && zone
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Checks the bytes of a host name and decodes escapes, of which only those above ASCII are allowed.
fn unescape_name(name: &str) -> Result<String, Malformed> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'%' => {
                let digits = after.get(..2).ok_or(Malformed)?;
                decoded.push(
                    escaped(digits)
                        .filter(|byte| !byte.is_ascii())
                        .ok_or(Malformed)?,
                );
                rest = &after[2..];
            }
            byte if byte.is_ascii_alphanumeric()
                || !byte.is_ascii()
                || b"-_.~!$&'()*+,;=<>\"".contains(byte) =>
            {
                decoded.push(*byte);
            }
            _ => return Err(Malformed),
        }
    }
    String::from_utf8(decoded).map_err(|_| Malformed)
}

fn check_escapes(text: &str) -> Result<(), Malformed> {
    let mut parts = text.split('%');
    parts.next();
    for part in parts {
        part.as_bytes()
            .get(..2)
            .and_then(escaped)
            .ok_or(Malformed)?;
    }
    Ok(())
}

/// The byte that two hexadecimal digits stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use quickcheck::quickcheck;

    use super::*;

    const HOST: Option<&str> = Some("dest:443");

    /// Targets and destinations as Go 1.26's `net/http` has them.
    #[test]
    fn targets_are_read_as_in_go() {
        for (target, expected) in [
            ("host:80", "host:80"),
            ("host", "host"),
            ("host:", "host:"),
            (":80", ":80"),
            ("host:99999", "host:99999"),
            ("*", "*"),
            ("/", "dest:443"),
            ("/path", "dest:443"),
            ("//x:1/", "dest:443"),
            ("?q", "dest:443"),
            ("user@host:80", "host:80"),
            ("user:pw@host:80", "host:80"),
            ("us@er@host:80", "host:80"),
            ("@host:80", "host:80"),
            ("[::1]:80", "[::1]:80"),
            ("[::1]", "[::1]"),
            ("[fe80::1%25eth0]:80", "[fe80::1%eth0]:80"),
            ("host:80/path", "host:80"),
            ("host:80/pa?q#f", "host:80"),
            ("host:80?q", "host:80"),
            ("http://host:80/", "http:"),
            ("ho%c3%a9st:80", "ho\u{e9}st:80"),
            ("h\u{e9}:80", "h\u{e9}:80"),
            ("a!$&'()*+,;=b:80", "a!$&'()*+,;=b:80"),
            ("a<\"b>:80", "a<\"b>:80"),
            ("a_b~-.:80", "a_b~-.:80"),
        ] {
            assert_eq!(
                destination(target, HOST),
                Ok(expected.to_owned()),
                "{target}"
            );
        }
        assert_eq!(destination("/", None), Ok(String::new()));
    }

    #[test]
    fn targets_that_go_refuses_are_malformed() {
        for target in [
            "host:port",
            "host:80x",
            "a:b:80",
            "::1",
            "fd00::1:443",
            "[::1]80",
            "[::1]:x",
            "[::1",
            "::1]:80",
            "[foo]:80",
            "[1.2.3.4]:80",
            "[fe80::1%eth0]:80",
            "[fe80::1%25]:80",
            "x[::1]:80",
            "us[er@host:80",
            "us%zer@host:80",
            "host:80#f",
            "host:80/%zz",
            "/%zz",
            "ho%41st:80",
            "ho%st:80",
            "ho%e4st:80",
            "ho%e",
            "a\\b:80",
            "a^b:80",
            "a{b}|:80",
        ] {
            assert_eq!(destination(target, HOST), Err(Malformed), "{target}");
        }
    }

    #[test]
    fn other_methods_need_a_uri() {
        for uri in ["/", "/a?b", "*", "http://x/", "host:80"] {
            assert!(is_request_uri(uri), "{uri}");
        }
        for other in ["", "foo", "1.2.3.4:80", ":80", "/%zz", "a@b:80"] {
            assert!(!is_request_uri(other), "{other}");
        }
    }

    #[test]
    fn host_headers_are_checked_by_byte() {
        assert!(is_valid_host_header(b"a.b:80"));
        assert!(is_valid_host_header(b"[fe80::1%25eth0]:80"));
        assert!(is_valid_host_header(b""));
        for bad in [&b"a b"[..], b"a/b", b"a\"b", b"user@a", b"\xff"] {
            assert!(!is_valid_host_header(bad), "{}", bad.escape_ascii());
        }
    }

    quickcheck! {
        fn any_target_is_read_or_refused(target: String, host: String) -> bool {
            is_request_uri(&target);
            destination(&target, Some(&host))
                .is_ok_and(|destination| destination == host || destination.len() <= target.len())
                || destination(&target, Some(&host)).is_err()
        }
    }
}
