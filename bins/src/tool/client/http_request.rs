//! Requests to an HTTP proxy (RFC 9112, section 3.2; RFC 9110, section 7.6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::password::Credentials;

const MAX_HEADERS: usize = 128;

/// What is meant for the proxy and goes no further, and `Host`, for which the target speaks (RFC 9112, section
/// 3.2.2).
const NOT_PASSED_ON: [&str; 6] = [
    "host",
    "connection",
    "proxy-connection",
    "proxy-authorization",
    "keep-alive",
    "te",
];

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A tunnel to `host:port`.
    Tunnel(String),
    /// That a request be passed on.
    Forward {
        /// To `host:port`.
        to: String,
        /// Its head as the origin gets it.
        head: Vec<u8>,
    },
}

/// What it is answered with instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not HTTP/1, or nothing that a proxy is asked.
    BadRequest,
    /// User and password are missing or wrong.
    Authenticate,
}

impl Refusal {
    pub(super) const fn response(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            }
            Self::Authenticate => {
                "HTTP/1.1 407 Proxy Authentication Required\r\n\
                 Proxy-Authenticate: Basic realm=\"dialback\", charset=\"UTF-8\"\r\n\
                 Connection: close\r\nContent-Length: 0\r\n\r\n"
            }
        }
    }
}

/// Reads a request's head, its empty line included.
pub(super) fn read(head: &[u8], access: &Credentials) -> Result<Asked, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return Err(Refusal::BadRequest),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Refusal::BadRequest);
    };
    if access.are_needed() && !is_admitted(request.headers, access) {
        return Err(Refusal::Authenticate);
    }
    if method == "CONNECT" {
        return Ok(Asked::Tunnel(target.to_owned()));
    }
    let HttpUrl { to, host, path, .. } = HttpUrl::split(target)
        .filter(|url| !url.secure)
        .ok_or(Refusal::BadRequest)?;
    let mut passed = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    let named = named_by_connection(request.headers);
    let is_upgrade = named.iter().any(|name| name == "upgrade");
    for header in request.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let is_kept = !NOT_PASSED_ON.contains(&name.as_str())
            && (!named.contains(&name) || (is_upgrade && name == "upgrade"));
        if is_kept {
            passed.extend_from_slice(header.name.as_bytes());
            passed.extend_from_slice(b": ");
            passed.extend_from_slice(header.value);
            passed.extend_from_slice(b"\r\n");
        }
    }
    // One request a connection: its end is that of the response.
    let connection = if is_upgrade { "upgrade" } else { "close" };
    passed.extend_from_slice(format!("Connection: {connection}\r\n\r\n").as_bytes());
    Ok(Asked::Forward { to, head: passed })
}

/// An `http` or `https` URL in the parts that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpUrl {
    /// `https`.
    pub(super) secure: bool,
    /// `host:port`, to connect to.
    pub(super) to: String,
    /// What the `Host` header says.
    pub(super) host: String,
    /// Path and query.
    pub(super) path: String,
}

impl HttpUrl {
    /// Splits `http[s]://[user@]host[:port][/path][?query][#fragment]`.
    pub(super) fn split(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = scheme.eq_ignore_ascii_case("https");
        if !secure && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return None;
        }
        let has_port = host.rfind(':') > host.rfind(']');
        let port = match (has_port, secure) {
            (true, _) => "",
            (false, false) => ":80",
            (false, true) => ":443",
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some(Self {
            secure,
            to: format!("{host}{port}"),
            host: host.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

impl HttpUrl {
    /// The host without its port, and without the brackets of an IPv6 address.
    pub(super) fn host_name(&self) -> &str {
        let host = match self.host.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            Some(_) | None => &self.host,
        };
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

fn named_by_connection(headers: &[httparse::Header<'_>]) -> Vec<String> {
    let connection = |header: &&httparse::Header<'_>| {
        header.name.eq_ignore_ascii_case("connection")
            || header.name.eq_ignore_ascii_case("proxy-connection")
    };
    let values = headers.iter().filter(connection);
    values
        .flat_map(|header| header.value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .collect()
}

fn is_admitted(headers: &[httparse::Header<'_>], access: &Credentials) -> bool {
    let mut given = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("proxy-authorization"))
        .filter_map(|header| {
            let (scheme, encoded) = header.value.split_at_checked("Basic ".len())?;
            let is_basic = scheme.eq_ignore_ascii_case(b"Basic ");
            let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
            is_basic.then_some(decoded)
        });
    given.any(|given| {
        let Some(colon) = given.iter().position(|byte| *byte == b':') else {
            return false;
        };
        access.admit(&given[..colon], &given[colon + 1..])
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_asked_for_by_connect() {
        let head = b"CONNECT web:443 HTTP/1.1\r\nHost: web:443\r\n\r\n";
        let asked = read(head, &Credentials::none()).unwrap();
        assert_eq!(asked, Asked::Tunnel("web:443".to_owned()));
    }

    #[test]
    fn requests_are_passed_on_without_what_is_the_proxys() {
        let head =
            b"POST http://me:x@web/a?b HTTP/1.1\r\nHost: other\r\nProxy-Connection: keep-alive\r\n\
            Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nContent-Length: 2\r\n\
            Proxy-Authorization: Basic eDp5\r\n\r\n";
        let Asked::Forward { to, head } = read(head, &Credentials::none()).unwrap() else {
            panic!("a request is passed on");
        };
        assert_eq!(to, "web:80");
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "POST /a?b HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn an_upgrade_is_passed_on_as_one() {
        let head = b"GET http://web/ HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\n\r\n";
        let Asked::Forward { head, .. } = read(head, &Credentials::none()).unwrap() else {
            panic!("a request is passed on");
        };
        assert_eq!(
            String::from_utf8(head).unwrap(),
            "GET / HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        );
    }

    #[test]
    fn a_proxy_is_asked_for_a_tunnel_where_the_client_wants_tls() {
        let head = b"GET https://web/ HTTP/1.1\r\nHost: web\r\n\r\n";
        let asked = read(head, &Credentials::none());
        assert_eq!(asked, Err(Refusal::BadRequest));
    }

    #[test]
    fn urls_are_split() {
        for (url, to, path) in [
            ("http://a", "a:80", "/"),
            ("HTTP://a:8080/x#y", "a:8080", "/x"),
            ("http://[::1]?q=/", "[::1]:80", "/?q=/"),
            ("http://[::1]:81/", "[::1]:81", "/"),
            ("https://a", "a:443", "/"),
            ("https://a:80/", "a:80", "/"),
        ] {
            let split = HttpUrl::split(url).unwrap();
            assert_eq!(
                (split.to.as_str(), split.path.as_str()),
                (to, path),
                "{url}"
            );
            assert!(["a", "::1"].contains(&split.host_name()), "{url}");
        }
        for url in [
            "",
            "a",
            "/",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://:80/",
        ] {
            assert_eq!(HttpUrl::split(url), None, "{url}");
        }
    }

    #[test]
    fn credentials_are_asked_for() {
        let access = Credentials::of("me", "se:cret");
        let with = |authorization: &str| {
            let head = format!("CONNECT a:1 HTTP/1.1\r\n{authorization}\r\n\r\n");
            read(head.as_bytes(), &access)
        };
        let good = STANDARD.encode("me:se:cret");
        for scheme in ["Basic", "basic"] {
            let asked = with(&format!("Proxy-Authorization: {scheme} {good}"));
            assert_eq!(asked, Ok(Asked::Tunnel("a:1".to_owned())));
        }
        for bad in [
            "Host: a".to_owned(),
            format!("Authorization: Basic {good}"),
            format!("Proxy-Authorization: Bearer {good}"),
            format!(
                "Proxy-Authorization: Basic {}",
                STANDARD.encode("me:secret")
            ),
            "Proxy-Authorization: Basic !".to_owned(),
        ] {
            assert_eq!(with(&bad), Err(Refusal::Authenticate), "{bad}");
        }
    }
}
