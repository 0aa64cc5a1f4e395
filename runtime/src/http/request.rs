//! A request's header.

use crate::percent;

/// More than any probe or scraper sends.
const MAX_HEADERS: usize = 128;

/// The request line and what of the header matters here.
///
/// Few answers depend on the method or on a body; a body that is too long for that is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET` and so on.
    pub method: &'a str,
    /// The path of the target, as it was sent.
    pub path: &'a str,
    /// What is behind the question mark, without it.
    pub query: Option<&'a str>,
    /// The `Host` header, empty if there is none.
    pub host: &'a str,
    /// The body, if it has at most 1 KiB; of a longer one nothing.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// The values that the query has for `name`, decoded.
    pub fn parameters(&self, name: &str) -> impl Iterator<Item = String> {
        let query = self.query.unwrap_or_default();
        query.split('&').filter_map(move |parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            (percent::decode(key) == name.as_bytes())
                .then(|| String::from_utf8_lossy(&percent::decode(value)).into_owned())
        })
    }
}

/// A request and what it means for its connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) request: Request<'a>,
    /// Bytes that it takes.
    pub(super) length: usize,
    pub(super) body: Body,
    pub(super) keep_alive: bool,
}

/// What is behind a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes, maybe none.
    Length(u64),
    /// Something without a length.
    Unknown,
}

/// A header that no answer can be made for; Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadRequest {
    Malformed,
    NoHost,
    TooManyHosts,
    TooLarge,
}

impl BadRequest {
    /// The status line's end, which is the body too.
    pub(super) const fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::NoHost => "400 Bad Request: missing required Host header",
            Self::TooManyHosts => "400 Bad Request: too many Host headers",
            Self::TooLarge => "431 Request Header Fields Too Large",
        }
    }
}

/// `None` while the header is not complete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header<'_>>, BadRequest> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(BadRequest::TooLarge),
        Err(_) => return Err(BadRequest::Malformed),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(BadRequest::Malformed);
    };
    let values = |name: &'static str| {
        let headers = parsed.headers.iter();
        headers
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| std::str::from_utf8(header.value).map_err(|_| BadRequest::Malformed))
    };
    let mut hosts = values("host");
    let host = match hosts.next() {
        Some(host) => host?,
        None if version == 1 => return Err(BadRequest::NoHost),
        None => "",
    };
    if hosts.next().is_some() {
        return Err(BadRequest::TooManyHosts);
    }
    let mut keep_alive = version == 1;
    for value in values("connection") {
        let closes = |option: &str| option.trim().eq_ignore_ascii_case("close");
        keep_alive &= !value?.split(',').any(closes);
    }
    let mut body = Body::Length(0);
    for value in values("content-length") {
        let length = value?.parse().map_err(|_| BadRequest::Malformed)?;
        if !matches!(body, Body::Length(0)) && body != Body::Length(length) {
            return Err(BadRequest::Malformed);
        }
        body = Body::Length(length);
    }
    if values("transfer-encoding").next().is_some() {
        body = Body::Unknown;
    }
    let (path, query) = split_target(target);
    Ok(Some(Header {
        request: Request {
            method,
            path,
            query,
            host,
            body: &[],
        },
        length,
        body,
        keep_alive,
    }))
}

/// Path and query of a target in origin form, or in absolute form, which proxies use.
fn split_target(target: &str) -> (&str, Option<&str>) {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find(['/', '?']).map_or("/", |start| &rest[start..])
        }
        _ => target,
    };
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn header(text: &str) -> Header<'_> {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_probe_is_read() {
        let text = "GET /readyz?verbose HTTP/1.1\r\nHost: 10.0.0.1:8092\r\nAccept: */*\r\n\r\nrest";
        let header = header(text);
        assert_eq!(header.length, text.len() - 4);
        assert_eq!(
            header.request,
            Request {
                method: "GET",
                path: "/readyz",
                query: Some("verbose"),
                host: "10.0.0.1:8092",
                body: &[],
            }
        );
        assert!(header.keep_alive);
        assert_eq!(header.body, Body::Length(0));
    }

    #[test]
    fn targets_come_in_two_forms() {
        let cases = [
            ("/a?b=c?d", ("/a", Some("b=c?d"))),
            ("/", ("/", None)),
            ("http://host/a?b", ("/a", Some("b"))),
            ("http://host", ("/", None)),
            ("http://host?b", ("", Some("b"))),
            ("/a?u=http://host/b", ("/a", Some("u=http://host/b"))),
            ("*", ("*", None)),
        ];
        for (target, expected) in cases {
            assert_eq!(split_target(target), expected, "{target}");
        }
    }

    #[test]
    fn connections_are_kept_unless_somebody_wants_otherwise() {
        for (rest, keep_alive) in [
            ("1.1\r\nHost: x", true),
            ("1.1\r\nHost: x\r\nConnection: TE, Close", false),
            ("1.0", false),
        ] {
            let text = format!("GET / HTTP/{rest}\r\n\r\n");
            assert_eq!(header(&text).keep_alive, keep_alive, "{rest}");
        }
    }

    #[test]
    fn bodies_are_measured() {
        for (field, body) in [
            ("Content-Length: 5", Body::Length(5)),
            ("Content-Length: 5\r\nContent-Length: 5", Body::Length(5)),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                Body::Unknown,
            ),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n");
            assert_eq!(header(&text).body, body);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let fields = "A: b\r\n".repeat(MAX_HEADERS + 1);
        let many = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let cases: [(&[u8], _); 8] = [
            (b"\x16\x03\x01", BadRequest::Malformed),
            (b"GET / HTTP/2.0\r\n\r\n", BadRequest::Malformed),
            (b"GET / HTTP/1.1\r\n\r\n", BadRequest::NoHost),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                BadRequest::TooManyHosts,
            ),
            (
                b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
                BadRequest::Malformed,
            ),
            (
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                BadRequest::Malformed,
            ),
            (
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                BadRequest::Malformed,
            ),
            (many.as_bytes(), BadRequest::TooLarge),
        ];
        for (bytes, expected) in cases {
            let text = bytes.escape_ascii();
            assert_eq!(parse(bytes), Err(expected), "{text}");
        }
        assert_eq!(parse(b"GET / HT"), Ok(None));
        assert_eq!(parse(b""), Ok(None));
    }

    #[test]
    fn parameters_are_found_by_their_decoded_name() {
        let request =
            header("GET /?name%5B%5D=a&x&name[]=b%20c&name=d HTTP/1.1\r\nHost: x\r\n\r\n").request;
        assert_eq!(
            request.parameters("name[]").collect::<Vec<_>>(),
            ["a", "b c"]
        );
        assert_eq!(request.parameters("x").collect::<Vec<_>>(), [""]);
        assert_eq!(request.parameters("y").count(), 0);
    }
}
