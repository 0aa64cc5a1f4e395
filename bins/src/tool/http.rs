//! Just enough of an HTTP/1.1 client to fetch a page and to ask a daemon whether it is ready.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest response taken, in bytes; the pages fetched here are small.
const LONGEST_RESPONSE: u64 = 1024 * 1024;

/// The longest head of a response, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// All that followed the head.
    pub(crate) body: Vec<u8>,
}

/// Sends a GET of `path` at `host` over `stream`, which it uses up, and reads the response to its end.
pub(crate) async fn fetch(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
) -> io::Result<Response> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let Head {
        head,
        rest: mut body,
    } = read_head(&mut stream).await?;
    let status = status(&head)?;
    stream.take(LONGEST_RESPONSE).read_to_end(&mut body).await?;
    Ok(Response { status, body })
}

/// Asks a proxy server in http-connect mode for a connection to `target` (`host:port`); from then on
/// `stream` is that connection.
pub(crate) async fn connect(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &str,
) -> io::Result<()> {
    // As kube-apiserver does, with a Host that says nothing, and no byte tolerated after the head.
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let Head { head, rest } = read_head(stream).await?;
    if status(&head)? == 200 && rest.is_empty() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the proxy server refused a connection to {target}: {}{}",
        String::from_utf8_lossy(&head),
        String::from_utf8_lossy(&rest)
    )))
}

/// The head of a message, and what was received along with it.
#[derive(Debug)]
pub(crate) struct Head {
    /// Up to and including the empty line.
    pub(crate) head: Vec<u8>,
    /// The first bytes after it, if any came in the same read.
    pub(crate) rest: Vec<u8>,
}

/// Reads until the empty line that ends the head of a request or response.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Head> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = Vec::with_capacity(1024);
    loop {
        let searched = head.len().saturating_sub(END.len() - 1);
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("the peer closed after {:?}", String::from_utf8_lossy(&head)),
            ));
        }
        let end = head[searched..]
            .windows(END.len())
            .position(|window| window == END);
        if let Some(end) = end {
            let rest = head.split_off(searched + end + END.len());
            return Ok(Head { head, rest });
        }
        if head.len() >= LONGEST_HEAD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the response's head exceeds {LONGEST_HEAD} bytes"),
            ));
        }
    }
}

/// The status code in a response's head (RFC 9112, section 4).
pub(crate) fn status(head: &[u8]) -> io::Result<u16> {
    head.strip_prefix(b"HTTP/1.1 ")
        .filter(|rest| rest.get(3) == Some(&b' '))
        .map(|rest| &rest[..3])
        .filter(|code| code.iter().all(u8::is_ascii_digit))
        .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "not an HTTP/1.1 response: {:?}",
                    String::from_utf8_lossy(head)
                ),
            )
        })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_is_fetched_whole() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let server = async {
            let request = read_head(&mut theirs).await.unwrap();
            theirs
                .write_all(b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nno\r\n\r\n")
                .await
                .unwrap();
            drop(theirs);
            request.head
        };
        let (response, request) = tokio::join!(fetch(ours, "h:1", "/p"), server);
        assert_eq!(
            response.unwrap(),
            Response {
                status: 404,
                body: b"no\r\n\r\n".to_vec()
            }
        );
        assert_eq!(
            request,
            b"GET /p HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n"
        );
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused_at_its_limit() {
        let mut endless = tokio::io::repeat(b'a');
        let error = read_head(&mut endless).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn what_follows_a_head_is_kept_however_the_bytes_arrive() {
        for split in 1..22 {
            let bytes = b"HTTP/1.1 200 OK\r\n\r\nabc";
            let (first, second) = bytes.split_at(split);
            let mut stream = first.chain(second);
            let Head { head, mut rest } = read_head(&mut stream).await.unwrap();
            stream.read_to_end(&mut rest).await.unwrap();
            assert_eq!(head, b"HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!(rest, b"abc");
        }
    }

    #[test]
    fn only_a_status_line_has_a_status() {
        assert_eq!(
            status(b"HTTP/1.1 200 Connection Established\r\n\r\n").unwrap(),
            200
        );
        for bad in [
            "",
            "HTTP/1.1 20",
            "HTTP/1.1 2000 OK",
            "HTTP/1.0 200 OK",
            "HTTP/1.1 +20 OK",
        ] {
            assert!(status(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
