//! `dialback socks5` and `dialback http-proxy`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use crate::endpoints::{line, web};
use crate::support::pair::{Front, Pair};
use crate::tool::{Listening, closed, connect, converse, run, through, told};

/// Greets, asks for `host:port` by name, and hands over the connection.
pub(crate) fn socks5(server: SocketAddr, endpoint: SocketAddr) -> (TcpStream, u8) {
    let mut stream = connect(server);
    stream.write_all(b"\x05\x01\x00").unwrap();
    let mut method = [0; 2];
    stream.read_exact(&mut method).unwrap();
    assert_eq!(method, [5, 0]);
    let host = endpoint.ip().to_string();
    let mut request = vec![5, 1, 0, 3, u8::try_from(host.len()).unwrap()];
    request.extend_from_slice(host.as_bytes());
    request.extend_from_slice(&endpoint.port().to_be_bytes());
    stream.write_all(&request).unwrap();
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).unwrap();
    (stream, reply[1])
}

#[test]
fn socks5_clients_are_served() {
    let pair = Pair::start(Front::GrpcUnix, &[]);
    let flags = through(&pair, Front::GrpcUnix);
    let mut server = Listening::start("socks5", &flags, &["--listen=0"]);
    let address = server.address();
    let (stream, reply) = socks5(address, line());
    assert_eq!(reply, 0);
    assert_eq!(converse(stream, b"hello\n").unwrap(), "you said hello\n");
    assert_eq!(socks5(address, closed(&pair)).1, 5);
    curl(&["-x", &format!("socks5h://{address}")]);
    server.finish();
    let open = run("socks5", &flags, &["--listen=0.0.0.0:0"], b"");
    assert_eq!(open.status.code(), Some(1));
    assert!(told(&open).contains("--user and --password-file are needed"));
    pair.finish();
}

#[test]
fn http_clients_are_served() {
    let pair = Pair::start(Front::ConnectUnix, &[]);
    let flags = through(&pair, Front::ConnectUnix);
    let mut server = Listening::start("http-proxy", &flags, &["--listen=0"]);
    let address = server.address();
    let line = line();
    let mut tunnel = connect(address);
    write!(
        tunnel,
        "CONNECT {line} HTTP/1.1\r\nHost: {line}\r\n\r\nhello\n"
    )
    .unwrap();
    assert_eq!(
        converse(tunnel, b"").unwrap(),
        "HTTP/1.1 200 Connection Established\r\n\r\nyou said hello\n"
    );
    let web = web();
    let request = format!("GET http://{web}/page HTTP/1.1\r\nHost: {web}\r\n\r\n");
    let answer = converse(connect(address), request.as_bytes()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nGET /page HTTP/1.1\n"), "{answer}");
    let answer = converse(connect(address), b"GET /page HTTP/1.1\r\n\r\n").unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    curl(&["-x", &format!("http://{address}")]);
    curl(&["--proxytunnel", "-x", &format!("http://{address}")]);
    server.finish();

    let secret = pair.site.file("password");
    std::fs::write(&secret, "secret\n").unwrap();
    let file = format!("--password-file={}", secret.display());
    let arguments = ["--listen=0", "--user=me", &file];
    let mut server = Listening::start("http-proxy", &flags, &arguments);
    let address = server.address();
    let answer = converse(connect(address), request.as_bytes()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
    curl(&["-x", &format!("http://me:secret@{address}")]);
    server.finish();
    pair.finish();
}

/// Fetches a page with curl, where there is one.
fn curl(proxy: &[&str]) {
    let url = format!("http://{}/curl", web());
    let fetched = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "15",
            "--noproxy",
            "",
        ])
        .args(proxy)
        .arg(&url)
        .output();
    match fetched {
        Ok(fetched) => assert_eq!(
            String::from_utf8_lossy(&fetched.stdout),
            "GET /curl HTTP/1.1\n",
            "{proxy:?}: {}",
            told(&fetched)
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            assert!(
                std::env::var_os("DIALBACK_REQUIRE_INTEROP").is_none(),
                "curl is missing"
            );
            eprintln!("skipped, for there is no curl");
        }
        Err(error) => panic!("curl: {error}"),
    }
}
