//! `host:port` as Go's `net` package reads it, faults included: they are told to frontends in its words.

use super::failure::Cause;

/// What TCP services may be named instead of numbered: the ones that Go knows without `/etc/services`
/// (`net/lookup.go`).
const SERVICES: [(&str, u16); 14] = [
    ("ftp", 21),
    ("ftps", 990),
    ("gopher", 70),
    ("http", 80),
    ("https", 443),
    ("imap2", 143),
    ("imap3", 220),
    ("imaps", 993),
    ("pop3", 110),
    ("pop3s", 995),
    ("smtp", 25),
    ("submissions", 465),
    ("ssh", 22),
    ("telnet", 23),
];

/// Splits at the last colon; an IPv6 host is in brackets, which go (Go, `net.SplitHostPort`).
pub(super) fn split_host_port(address: &str) -> Result<(&str, &str), &'static str> {
    const MISSING_PORT: &str = "missing port in address";
    const TOO_MANY_COLONS: &str = "too many colons in address";
    let (before, port) = address.rsplit_once(':').ok_or(MISSING_PORT)?;
    let host = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("missing ']' in address")?;
        // Behind the bracket there has to be the last colon.
        match after.strip_prefix(':') {
            Some(after) if after.len() == port.len() => {}
            Some(_) => return Err(TOO_MANY_COLONS),
            None => return Err(MISSING_PORT),
        }
        if host.contains('[') || port.contains('[') {
            return Err("unexpected '[' in address");
        }
        if port.contains(']') {
            return Err("unexpected ']' in address");
        }
        host
    } else {
        if before.contains(':') {
            return Err(TOO_MANY_COLONS);
        }
        if address.contains('[') {
            return Err("unexpected '[' in address");
        }
        if address.contains(']') {
            return Err("unexpected ']' in address");
        }
        before
    };
    Ok((host, port))
}

/// A port number, or a service's name; empty is port 0, as in Go.
pub(super) fn parse_port(service: &str) -> Result<u16, Cause> {
    if service.is_empty() {
        return Ok(0);
    }
    let digits = service.strip_prefix(['+', '-']).unwrap_or(service);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A sign alone counts as 0 in Go, and so does minus zero.
        let number = if digits.is_empty() { "0" } else { digits };
        return match number.parse::<u16>() {
            Ok(port) if port == 0 || !service.starts_with('-') => Ok(port),
            Ok(_) | Err(_) => Err(Cause::address(service, "invalid port")),
        };
    }
    SERVICES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(service))
        .map(|(_, port)| *port)
        .ok_or_else(|| Cause::look_up(&format!("tcp/{service}"), None, "unknown port"))
}

/// Go's `net.JoinHostPort`.
pub(super) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_split_as_in_go() {
        let cases = [
            ("a:1", Ok(("a", "1"))),
            (":1", Ok(("", "1"))),
            ("a:", Ok(("a", ""))),
            ("[::1]:1", Ok(("::1", "1"))),
            ("[]:1", Ok(("", "1"))),
            ("[fe80::1%eth0]:1", Ok(("fe80::1%eth0", "1"))),
            ("", Err("missing port in address")),
            ("foo", Err("missing port in address")),
            ("[::1]", Err("missing port in address")),
            ("[::1]x:1", Err("missing port in address")),
            ("[::1", Err("missing ']' in address")),
            ("a:b:c", Err("too many colons in address")),
            ("::1", Err("too many colons in address")),
            ("[::1]:1:2", Err("too many colons in address")),
            ("a[b:1", Err("unexpected '[' in address")),
            ("[a[b]:1", Err("unexpected '[' in address")),
            ("[a]:1[", Err("unexpected '[' in address")),
            ("a]b:1", Err("unexpected ']' in address")),
            ("[a]:1]", Err("unexpected ']' in address")),
        ];
        for (address, expected) in cases {
            assert_eq!(split_host_port(address), expected, "{address:?}");
        }
    }

    #[test]
    fn ports_read_as_in_go() {
        let cases = [
            ("", Ok(0)),
            ("80", Ok(80)),
            ("+80", Ok(80)),
            ("0080", Ok(80)),
            ("-0", Ok(0)),
            ("65535", Ok(65535)),
            ("HTTPS", Ok(443)),
            ("65536", Err("address 65536: invalid port")),
            ("-1", Err("address -1: invalid port")),
            ("99999999999", Err("address 99999999999: invalid port")),
            ("nope", Err("lookup tcp/nope: unknown port")),
            ("8 0", Err("lookup tcp/8 0: unknown port")),
        ];
        for (service, expected) in cases {
            let port = parse_port(service).map_err(|cause| cause.to_string());
            assert_eq!(port, expected.map_err(str::to_owned), "{service:?}");
        }
    }
}
