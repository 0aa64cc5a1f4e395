//! CONNECT requests, as Go's `net/http` server accepts them for the reference.

use bytes::{Buf, Bytes, BytesMut};

use crate::audit::{TRACE_PARENT, TraceParent};
use crate::wire::{SELECT_AGENT, SERVED_BY};

use super::target::{Malformed, destination, is_request_uri, is_valid_host_header};

/// The longest header of a request in bytes, request line included, unless told otherwise; Go's `DefaultMaxHeaderBytes`.
pub const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// The most header fields of a request; Go has no such bound, and no frontend comes near it.
pub const MAX_HEADERS: usize = 128;

/// The longest body of a refused request that is skipped to reach the next one; Go's `maxPostHandlerReadBytes`.
const MAX_SKIPPED_BODY_BYTES: u64 = 256 * 1024;

const BAD_REQUEST: &str = "400 Bad Request";
const MISSING_HOST: &str = "400 Bad Request: missing required Host header";
const MALFORMED_HOST: &str = "400 Bad Request: malformed Host header";
const HEADER_TOO_LARGE: &str = "431 Request Header Fields Too Large";
const CONNECT_ONLY: &str = "this proxy only supports CONNECT passthrough\n";

/// What came of the bytes so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The header is not complete: push more, or give up after the header timeout.
    Incomplete,
    /// A CONNECT request; the parser has done its work.
    Connect {
        /// The destination, `host:port` as the frontend wrote it; whether it makes sense is the agent's to say.
        authority: String,
        /// Payload that came right behind the header: the tunnel's first bytes.
        early: Bytes,
        /// The frontend wants to know which agent serves it ([`SERVED_BY`]).
        asks_for_agent: bool,
        /// Which labels the frontend wants of the agent ([`SELECT_AGENT`]), as it wrote it.
        selector: Option<String>,
        /// The trace that the request belongs to, if it names one (`traceparent`, W3C Trace Context).
        trace: Option<TraceParent>,
    },
    /// Anything else.
    Reject {
        /// To be written as it is.
        response: Bytes,
        /// Ask again before reading more, the next request may be there; otherwise close.
        keep_alive: bool,
        /// The header is longer than may be.
        too_large: bool,
    },
}

/// Takes the bytes of one frontend connection until a CONNECT request is complete.
///
/// Holds at most as many bytes as a header may have, and one push.
#[derive(Debug)]
pub struct RequestParser {
    max_header_bytes: usize,
    buffer: BytesMut,
    /// No end of the header lies before this offset.
    scanned: usize,
    /// Where the request line ends, once it does.
    line_end: Option<usize>,
    /// The request line was complete and well formed.
    line_checked: bool,
    /// What is left to skip of the body of a refused request.
    skip: u64,
}

impl Default for RequestParser {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestParser {
    /// A parser for a fresh connection, for headers of up to [`MAX_HEADER_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_header_bytes(MAX_HEADER_BYTES)
    }

    /// The same, for headers of up to `max_header_bytes`, request line included.
    #[must_use]
    pub fn with_max_header_bytes(max_header_bytes: usize) -> Self {
        Self {
            max_header_bytes,
            buffer: BytesMut::new(),
            scanned: 0,
            line_end: None,
            line_checked: false,
            skip: 0,
        }
    }

    /// Takes what was read; follow with [`RequestParser::parse`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Looks for a complete request.
    ///
    /// `date` is the time as HTTP has it, such as `Mon, 23 Nov 2026 05:04:08 GMT`, for answers that carry one.
    pub fn parse(&mut self, date: &str) -> Parsed {
        self.skip_body();
        if self.skip > 0 || self.buffer.is_empty() {
            return Parsed::Incomplete;
        }
        let Some(end) = self.find_header_end() else {
            if self.buffer.len() > self.max_header_bytes {
                return self.fail(HEADER_TOO_LARGE);
            }
            return match self.check_request_line() {
                Ok(()) => Parsed::Incomplete,
                Err(Malformed) => self.fail(BAD_REQUEST),
            };
        };
        if end > self.max_header_bytes {
            return self.fail(HEADER_TOO_LARGE);
        }
        let header = self.buffer.split_to(end);
        self.scanned = 0;
        self.line_end = None;
        self.line_checked = false;
        match judge(&header, date) {
            Verdict::Connect {
                authority,
                asks_for_agent,
                selector,
                trace,
            } => Parsed::Connect {
                authority,
                early: std::mem::take(&mut self.buffer).freeze(),
                asks_for_agent,
                selector,
                trace,
            },
            Verdict::NotConnect {
                response,
                skip: Some(body),
            } => {
                self.skip = body;
                Parsed::Reject {
                    response,
                    keep_alive: true,
                    too_large: false,
                }
            }
            Verdict::NotConnect {
                response,
                skip: None,
            } => Parsed::Reject {
                response,
                keep_alive: false,
                too_large: false,
            },
            Verdict::Faulty(status) => self.fail(status),
        }
    }

    fn skip_body(&mut self) {
        let here = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        self.buffer.advance(here);
        self.skip -= here as u64;
    }

    /// The offset behind the empty line; each byte is looked at once, however it arrives.
    fn find_header_end(&mut self) -> Option<usize> {
        while let Some(found) = self.buffer[self.scanned..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let newline = self.scanned + found;
            self.line_end.get_or_insert(newline + 1);
            match &self.buffer[newline + 1..] {
                [b'\n', ..] => return Some(newline + 2),
                [b'\r', b'\n', ..] => return Some(newline + 3),
                [] | [b'\r'] => {
                    self.scanned = newline;
                    return None;
                }
                _ => self.scanned = newline + 1,
            }
        }
        self.scanned = self.buffer.len();
        None
    }

    /// Refuses nonsense at its first line, instead of waiting for an end that does not come.
    fn check_request_line(&mut self) -> Result<(), Malformed> {
        if self.buffer.starts_with(b"\r") || self.buffer.starts_with(b"\n") {
            return Err(Malformed);
        }
        if let Some(line) = self.line_end.and_then(|end| self.buffer.get(..end))
            && !self.line_checked
        {
            httparse::Request::new(&mut [])
                .parse(line)
                .map_err(|_| Malformed)?;
            self.line_checked = true;
        }
        Ok(())
    }

    fn fail(&mut self, status: &str) -> Parsed {
        *self = Self::with_max_header_bytes(self.max_header_bytes);
        let response = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{status}"
        );
        Parsed::Reject {
            response: Bytes::from(response),
            keep_alive: false,
            too_large: status == HEADER_TOO_LARGE,
        }
    }
}

enum Verdict {
    Connect {
        authority: String,
        asks_for_agent: bool,
        selector: Option<String>,
        trace: Option<TraceParent>,
    },
    NotConnect {
        response: Bytes,
        /// Length of the body before the next request; `None` closes instead.
        skip: Option<u64>,
    },
    Faulty(&'static str),
}

/// Judges a complete header, in Go's order: the line, the fields, the target, the host, the method.
fn judge(header: &[u8], date: &str) -> Verdict {
    let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut fields);
    // httparse would skip empty lines before the request, Go does not.
    if header.starts_with(b"\r") || header.starts_with(b"\n") {
        return Verdict::Faulty(BAD_REQUEST);
    }
    match request.parse(header) {
        Ok(httparse::Status::Complete(length)) if length == header.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Verdict::Faulty(HEADER_TOO_LARGE),
        Ok(_) | Err(_) => return Verdict::Faulty(BAD_REQUEST),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Verdict::Faulty(BAD_REQUEST);
    };
    let mut hosts = values(request.headers, "Host");
    let host = hosts.next();
    if hosts.next().is_some() {
        return Verdict::Faulty(BAD_REQUEST);
    }
    let destination = match method {
        "CONNECT" => {
            let host = host.and_then(|host| str::from_utf8(host).ok());
            destination(target, host).map(Some)
        }
        _ if method.eq_ignore_ascii_case("CONNECT") => Err(Malformed),
        _ if is_request_uri(target) => Ok(None),
        _ => Err(Malformed),
    };
    let Ok(destination) = destination else {
        return Verdict::Faulty(BAD_REQUEST);
    };
    if host.is_some_and(|host| !is_valid_host_header(host)) {
        return Verdict::Faulty(MALFORMED_HOST);
    }
    let http_1_1 = request.version == Some(1);
    match destination {
        Some(authority) => Verdict::Connect {
            authority,
            asks_for_agent: values(request.headers, SERVED_BY).next().is_some(),
            selector: values(request.headers, SELECT_AGENT)
                .next()
                .map(|value| String::from_utf8_lossy(value).into_owned()),
            trace: TraceParent::from_headers(values(request.headers, TRACE_PARENT)),
        },
        None if http_1_1 && host.is_none() => Verdict::Faulty(MISSING_HOST),
        None => refuse_method(method, http_1_1, request.headers, date),
    }
}

/// The 405, and whether another request can follow it.
fn refuse_method(
    method: &str,
    http_1_1: bool,
    fields: &[httparse::Header<'_>],
    date: &str,
) -> Verdict {
    let Ok(body) = body_length(fields) else {
        return Verdict::Faulty(BAD_REQUEST);
    };
    let wants_keep_alive = if http_1_1 {
        !has_token(fields, "close")
    } else {
        has_token(fields, "keep-alive")
    };
    let skip = body.filter(|_| wants_keep_alive);
    let version = if http_1_1 { "1.1" } else { "1.0" };
    let connection = match (http_1_1, skip) {
        (true, None) => "Connection: close\r\n",
        (false, Some(_)) => "Connection: keep-alive\r\n",
        (true, Some(_)) | (false, None) => "",
    };
    let text = if method == "HEAD" { "" } else { CONNECT_ONLY };
    let response = format!(
        "HTTP/{version} 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\nDate: {date}\r\nContent-Length: {}\r\n{connection}\r\n{text}",
        CONNECT_ONLY.len(),
    );
    Verdict::NotConnect {
        response: Bytes::from(response),
        skip,
    }
}

/// How much of a body to skip, or `None` when closing is the better way: it is long, of unknown length, or
/// waits for a `100 Continue`.
fn body_length(fields: &[httparse::Header<'_>]) -> Result<Option<u64>, Malformed> {
    if values(fields, "Transfer-Encoding").next().is_some() {
        return Ok(None);
    }
    let mut length = None;
    for value in values(fields, "Content-Length") {
        let value = value.trim_ascii();
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let value = str::from_utf8(value)
            .ok()
            .and_then(|digits| digits.parse::<u64>().ok())
            .ok_or(Malformed)?;
        if length.is_some_and(|length| length != value) {
            return Err(Malformed);
        }
        length = Some(value);
    }
    let length = length.unwrap_or(0);
    let waits = length > 0 && values(fields, "Expect").next().is_some();
    Ok(Some(length).filter(|length| *length <= MAX_SKIPPED_BODY_BYTES && !waits))
}

fn values<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name))
        .map(|field| field.value)
}

/// Whether `Connection` lists `token`.
fn has_token(fields: &[httparse::Header<'_>], token: &str) -> bool {
    values(fields, "Connection")
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests;
