//! Requests and answers as recorded from Go 1.26's `net/http` around the reference's handler.

use quickcheck::quickcheck;

use super::*;

const DATE: &str = "Mon, 23 Nov 2026 05:04:08 GMT";

const PLAIN_400: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request";

const PLAIN_405: &str = "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nDate: Mon, 23 Nov 2026 05:04:08 GMT\r\nContent-Length: 45\r\n\r\nthis proxy only supports CONNECT passthrough\n";

fn parse(bytes: &[u8]) -> Parsed {
    let mut parser = RequestParser::new();
    parser.push(bytes);
    parser.parse(DATE)
}

fn connect(authority: &str, early: &str) -> Parsed {
    Parsed::Connect {
        authority: authority.to_owned(),
        early: Bytes::copy_from_slice(early.as_bytes()),
        asks_for_agent: false,
        selector: None,
        trace: None,
    }
}

#[test]
fn a_frontend_may_ask_which_agent_serves_it() {
    for (header, asks) in [("Dialback-Agent: ?", true), ("Dialback-Agents: ?", false)] {
        let request = format!("CONNECT a:1 HTTP/1.1\r\n{header}\r\n\r\n");
        let Parsed::Connect { asks_for_agent, .. } = parse(request.as_bytes()) else {
            panic!("{request} is good");
        };
        assert_eq!(asks_for_agent, asks);
    }
}

#[test]
fn a_frontend_may_ask_for_labels() {
    let request = "CONNECT a:1 HTTP/1.1\r\nDialback-Select: zone=a\r\n\r\n";
    let Parsed::Connect { selector, .. } = parse(request.as_bytes()) else {
        panic!("{request} is good");
    };
    assert_eq!(selector.as_deref(), Some("zone=a"));
}

#[test]
fn a_request_may_be_part_of_a_trace() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (headers, known) in [
        (format!("traceparent: {trace}\r\n"), true),
        (
            format!("Traceparent: {trace}\r\nTraceparent: {trace}\r\n"),
            false,
        ),
        ("traceparent: 00-00\r\n".to_owned(), false),
        (String::new(), false),
    ] {
        let request = format!("CONNECT a:1 HTTP/1.1\r\n{headers}\r\n");
        let Parsed::Connect { trace: found, .. } = parse(request.as_bytes()) else {
            panic!("{request} is good");
        };
        assert_eq!(found, known.then(|| trace.parse().expect("it is one")));
    }
}

fn reject(response: &str, keep_alive: bool) -> Parsed {
    Parsed::Reject {
        response: Bytes::copy_from_slice(response.as_bytes()),
        keep_alive,
        too_large: response.contains(" 431 "),
    }
}

#[test]
fn connect_requests_are_accepted() {
    for (request, authority, early) in [
        ("CONNECT host:80 HTTP/1.1\r\n\r\n", "host:80", ""),
        (
            "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nhello",
            "10.0.0.1:443",
            "hello",
        ),
        ("CONNECT host:80 HTTP/1.0\r\n\r\n", "host:80", ""),
        ("CONNECT host:80 HTTP/1.1\n\n\r\n", "host:80", "\r\n"),
        (
            "CONNECT / HTTP/1.1\r\nHost: dest:443\r\n\r\n",
            "dest:443",
            "",
        ),
        ("CONNECT user@host:80 HTTP/1.1\r\n\r\n", "host:80", ""),
        ("CONNECT foo HTTP/1.1\r\n\r\n", "foo", ""),
        ("CONNECT a:1 HTTP/1.1\r\nHost:\r\n\r\n", "a:1", ""),
        (
            "CONNECT a:1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcdef",
            "a:1",
            "abcdef",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nabcdef",
            "a:1",
            "abcdef",
        ),
    ] {
        assert_eq!(
            parse(request.as_bytes()),
            connect(authority, early),
            "{request:?}"
        );
    }
}

#[test]
fn faulty_requests_get_a_400() {
    for request in [
        "CONNECT host:80 HTTP/3\r\n\r\n",
        "CONNECT host:80\r\n\r\n",
        "CONNECT  host:80 HTTP/1.1\r\n\r\n",
        "CONNECT host:80 HTTP/1.1 \r\n\r\n",
        "\r\nCONNECT host:80 HTTP/1.1\r\n\r\n",
        "\nCONNECT host:80 HTTP/1.1\r\n\r\n",
        "\r\n\r\n",
        "CONNECT a:b:80 HTTP/1.1\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
        "connect host:80 HTTP/1.1\r\n\r\n",
        "connect 1.2.3.4:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET 1.2.3.4:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\n Host: a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nX\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\n: x\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nX@: x\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nX: a\0b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "garbage\r\n",
        "\r",
    ] {
        assert_eq!(
            parse(request.as_bytes()),
            reject(PLAIN_400, false),
            "{request:?}"
        );
    }
}

#[test]
fn host_faults_are_named() {
    let missing = "HTTP/1.1 400 Bad Request: missing required Host header\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request: missing required Host header";
    assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), reject(missing, false));

    let malformed = missing.replace("missing required Host", "malformed Host");
    for request in [
        &b"CONNECT a:1 HTTP/1.1\r\nHost: a b\r\n\r\n"[..],
        b"CONNECT / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    ] {
        assert_eq!(parse(request), reject(&malformed, false));
    }
}

#[test]
fn other_methods_get_a_405() {
    let request = |text: &str| parse(text.as_bytes());
    let with = |line: &str| PLAIN_405.replace("45\r\n\r\n", &format!("45\r\n{line}\r\n\r\n"));

    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(request(get), reject(PLAIN_405, true));
    assert_eq!(
        request("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"),
        reject(&with("Connection: close"), false)
    );
    let old = |response: &str| response.replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(
        request("GET / HTTP/1.0\r\n\r\n"),
        reject(&old(PLAIN_405), false)
    );
    assert_eq!(
        request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        reject(&old(&with("Connection: keep-alive")), true)
    );
    let bodiless = PLAIN_405.replace(CONNECT_ONLY, "");
    assert_eq!(
        request(&get.replace("GET", "HEAD")),
        reject(&bodiless, true)
    );
}

#[test]
fn a_request_can_follow_a_405() {
    let mut parser = RequestParser::new();
    parser.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    assert_eq!(parser.parse(DATE), reject(PLAIN_405, true));
    assert_eq!(parser.parse(DATE), reject(PLAIN_405, true));
    assert_eq!(parser.parse(DATE), Parsed::Incomplete);
    parser.push(b"l");
    assert_eq!(parser.parse(DATE), Parsed::Incomplete);
    parser.push(b"loCONNECT a:1 HTTP/1.1\r\n\r\nearly");
    assert_eq!(parser.parse(DATE), connect("a:1", "early"));
}

#[test]
fn bodies_that_are_no_pleasure_to_skip_close_the_connection() {
    let closing = PLAIN_405.replace("45\r\n\r\n", "45\r\nConnection: close\r\n\r\n");
    let post =
        |fields: &str| parse(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n").as_bytes());
    assert_eq!(post("Content-Length: 262144"), reject(PLAIN_405, true));
    assert_eq!(post("Content-Length: 262145"), reject(&closing, false));
    assert_eq!(post("Transfer-Encoding: chunked"), reject(&closing, false));
    assert_eq!(
        post("Expect: 100-continue\r\nContent-Length: 5"),
        reject(&closing, false)
    );
    assert_eq!(post("Expect: 100-continue"), reject(PLAIN_405, true));
}

#[test]
fn the_header_is_bounded() {
    let too_large = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n431 Request Header Fields Too Large";
    let request = |length: usize| {
        let frame = "CONNECT a:1 HTTP/1.1\r\nX: \r\n\r\n";
        let padding = "x".repeat(length - frame.len());
        format!("CONNECT a:1 HTTP/1.1\r\nX: {padding}\r\n\r\n")
    };
    assert_eq!(
        parse(request(MAX_HEADER_BYTES).as_bytes()),
        connect("a:1", "")
    );
    assert_eq!(
        parse(request(MAX_HEADER_BYTES + 1).as_bytes()),
        reject(too_large, false)
    );
    let endless = vec![b'x'; MAX_HEADER_BYTES];
    assert_eq!(parse(&endless), Parsed::Incomplete);
    assert_eq!(
        parse(&[endless, vec![b'x']].concat()),
        reject(too_large, false)
    );

    let mut narrow = RequestParser::with_max_header_bytes(100);
    narrow.push(request(100).as_bytes());
    assert_eq!(narrow.parse(DATE), connect("a:1", ""));
    narrow.push(request(101).as_bytes());
    assert_eq!(narrow.parse(DATE), reject(too_large, false));
    narrow.push(request(101).as_bytes());
    assert_eq!(
        narrow.parse(DATE),
        reject(too_large, false),
        "still as narrow"
    );

    let fields = |count: usize| format!("CONNECT a:1 HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
    assert_eq!(parse(fields(MAX_HEADERS).as_bytes()), connect("a:1", ""));
    assert_eq!(
        parse(fields(MAX_HEADERS + 1).as_bytes()),
        reject(too_large, false)
    );
}

#[test]
fn every_split_gives_the_same_answer() {
    for request in [
        "CONNECT / HTTP/1.1\r\nHost: dest:443\r\nX: y\r\n\r\nearly",
        "CONNECT a:1 HTTP/1.1\n\nearly",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT nonsense::1 HTTP/1.1\r\n\r\n",
    ] {
        let whole = parse(request.as_bytes());
        for split in 0..=request.len() {
            let (first, second) = request.as_bytes().split_at(split);
            let mut parser = RequestParser::new();
            parser.push(first);
            let mut parsed = parser.parse(DATE);
            if parsed == Parsed::Incomplete {
                parser.push(second);
                parsed = parser.parse(DATE);
            } else if let Parsed::Connect { early, .. } = &mut parsed {
                *early = Bytes::from([&early[..], second].concat());
            }
            assert_eq!(parsed, whole, "{request:?} split at {split}");
        }
    }
}

quickcheck! {
    fn any_bytes_are_answered_or_waited_for(chunks: Vec<Vec<u8>>) -> bool {
        let mut parser = RequestParser::new();
        for chunk in chunks {
            parser.push(&chunk);
            if let Parsed::Reject { response, keep_alive: false, .. } = parser.parse(DATE) {
                return response.starts_with(b"HTTP/1.1 4") && parser.buffer.is_empty();
            }
        }
        true
    }

    fn any_fields_are_answered(name: String, value: String) -> bool {
        let request = format!("CONNECT a:1 HTTP/1.1\r\n{name}: {value}\r\n\r\n");
        parse(request.as_bytes()) != Parsed::Incomplete
    }
}
