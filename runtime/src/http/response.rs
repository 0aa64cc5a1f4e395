//! An answer, with the headers that Go's `net/http` gives it.

use std::fmt::Write as _;

/// `text/plain` in UTF-8, which all of the small answers are.
const PLAIN: &str = "text/plain; charset=utf-8";

/// An HTTP response, with its whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    content_type: Option<&'static str>,
    extra: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Response {
    /// A plain text with status 200.
    #[must_use]
    pub fn ok(body: impl Into<String>) -> Self {
        Self::plain(200, body)
    }

    /// A plain text; `status` is one of those used here: 200, 301, 400, 404, 406, 500, 501, 503.
    #[must_use]
    pub fn plain(status: u16, body: impl Into<String>) -> Self {
        Self::of_type(status, PLAIN, body.into())
    }

    /// A body of another type.
    #[must_use]
    pub fn of_type(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            extra: Vec::new(),
            body: body.into(),
        }
    }

    /// The same with one header more; `value` is visible ASCII.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// An error as Go's `http.Error` writes it: the text and a line end.
    #[must_use]
    pub fn error(status: u16, text: &str) -> Self {
        Self::plain(status, format!("{text}\n")).with("X-Content-Type-Options", "nosniff")
    }

    /// There is nothing here.
    #[must_use]
    pub fn not_found() -> Self {
        Self::error(404, "404 page not found")
    }

    /// It is elsewhere for good; `method` decides whether there is a page that says so, as in Go's
    /// `http.Redirect`.
    #[must_use]
    pub fn moved(method: &str, location: &str) -> Self {
        // Nothing that could end the header, whatever the client put into its own.
        let location: String = location.chars().filter(char::is_ascii_graphic).collect();
        let page = format!(
            "<a href=\"{}\">Moved Permanently</a>.\n\n",
            escape_html(&location)
        );
        let has_page = method == "GET" || method == "HEAD";
        Self {
            status: 301,
            content_type: has_page.then_some("text/html; charset=utf-8"),
            extra: vec![("Location", location)],
            body: if has_page { page.into() } else { Vec::new() },
        }
    }

    /// The bytes to send. `date` is in HTTP's form; the answer to HEAD has no body.
    pub(super) fn encode(&self, date: &str, head: bool, keep_alive: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason());
        let mut header = |name: &str, value: &str| {
            write!(text, "{name}: {value}\r\n").expect("a String takes all that is written to it");
        };
        if let Some(content_type) = self.content_type {
            header("Content-Type", content_type);
        }
        for (name, value) in &self.extra {
            header(name, value);
        }
        header("Date", date);
        header("Content-Length", &self.body.len().to_string());
        if !keep_alive {
            header("Connection", "close");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    const fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            301 => "Moved Permanently",
            400 => "Bad Request",
            404 => "Not Found",
            406 => "Not Acceptable",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "",
        }
    }
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Mon, 23 Nov 2026 05:04:08 GMT";

    fn sent(response: &Response, head: bool, keep_alive: bool) -> String {
        String::from_utf8_lossy(&response.encode(DATE, head, keep_alive)).into_owned()
    }

    #[test]
    fn answers_have_the_references_headers() {
        assert_eq!(
            sent(&Response::ok("ok"), false, true),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Date: Mon, 23 Nov 2026 05:04:08 GMT\r\nContent-Length: 2\r\n\r\nok"
        );
        assert_eq!(
            sent(&Response::not_found(), false, false),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\nDate: Mon, 23 Nov 2026 05:04:08 GMT\r\n\
             Content-Length: 19\r\nConnection: close\r\n\r\n404 page not found\n"
        );
    }

    #[test]
    fn head_gets_the_header_alone() {
        let text = sent(&Response::ok("ok"), true, true);
        assert!(text.ends_with("Content-Length: 2\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_redirection_cannot_be_used_to_write_headers_or_pages() {
        let response = Response::moved("GET", "//a\r\nX: y\"><b>\u{e9}:1/metrics");
        let text = sent(&response, false, true);
        assert!(
            text.contains("\r\nLocation: //aX:y\"><b>:1/metrics\r\n"),
            "{text}"
        );
        assert!(
            text.contains("href=\"//aX:y&#34;&gt;&lt;b&gt;:1/metrics\""),
            "{text}"
        );
        let posted = sent(&Response::moved("POST", "/x"), false, true);
        assert!(posted.ends_with("Content-Length: 0\r\n\r\n"), "{posted}");
        assert!(!posted.contains("Content-Type"));
    }
}
