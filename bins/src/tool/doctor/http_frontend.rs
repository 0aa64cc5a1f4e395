//! Whether what listens is a proxy server in http-connect mode.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::report::Finding;
use crate::tool::http::{read_head, status};

const HOP: &str = "frontend";

/// A request that a proxy server refuses by its method, and that sets nothing in motion.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";

/// Sends a request that is no CONNECT; the code of the answer.
///
/// # Errors
/// The connection broke, or what came is no answer.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    limit: Duration,
) -> io::Result<u16> {
    let exchange = async {
        let sent = async {
            stream.write_all(REQUEST).await?;
            stream.flush().await
        };
        // Who refuses this side's certificate closes, and has said why.
        let sent = sent.await;
        let head = read_head(stream).await;
        match (sent, head) {
            (_, Ok(head)) => status(&head.head),
            (Err(error), Err(closed)) if closed.kind() == io::ErrorKind::UnexpectedEof => {
                Err(error)
            }
            (_, Err(error)) => Err(error),
        }
    };
    timeout(limit, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What the answer of [`ask`] means.
pub(super) fn judge(at: &str, answer: io::Result<u16>, limit: Duration) -> Finding {
    const MODE: &str = "look whether this is the listener for frontends of a proxy server in --mode=http-connect; of one in \
                        --mode=grpc say --mode grpc (in a configuration, proxyProtocol: GRPC); one with certificates wants \
                        https";
    match answer {
        // The reference's and ours (Konnectivity server, `pkg/server/tunnel.go`).
        Ok(405) => Finding::ok(HOP, format!("{at}: a proxy server in http-connect mode")),
        Ok(code) => Finding::fail(
            HOP,
            format!("{at}: speaks HTTP, but answers as no proxy server does ({code})"),
            "this is another server, such as the proxy server's health or admin port: frontends connect to its \
             --server-port (8090) or --uds-name",
        ),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Finding::fail(
            HOP,
            format!("{at}: no answer to an HTTP request within {limit:?}"),
            MODE,
        ),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            ) =>
        {
            Finding::fail(
                HOP,
                format!("{at}: closed without an answer to an HTTP request"),
                MODE,
            )
        }
        Err(error) => Finding::fail(HOP, format!("{at}: no HTTP: {error}"), MODE),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::tool::doctor::report::Verdict;

    const LIMIT: Duration = Duration::from_secs(15);

    async fn answered(answer: &[u8]) -> Finding {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        let server = async {
            let mut request = vec![0; REQUEST.len()];
            let read = theirs.read_exact(&mut request).await;
            let sent = theirs.write_all(answer).await;
            drop(theirs);
            read.is_ok() && sent.is_ok() && request == REQUEST
        };
        let (answer, asked) = tokio::join!(ask(&mut ours, LIMIT), server);
        assert!(asked);
        judge("s", answer, LIMIT)
    }

    #[tokio::test]
    async fn a_refused_method_is_the_sign_of_a_proxy_server() {
        let proxy = answered(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n").await;
        assert_eq!(proxy.verdict, Verdict::Ok);
        for (answer, part) in [
            (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], "(404)"),
            (b"\0\0\x06\x04\0\0\0\0\0", "closed without an answer"),
            (b"SSH-2.0-x\r\n\r\n", "no HTTP: "),
        ] {
            let other = answered(answer).await;
            assert_eq!(other.verdict, Verdict::Fail);
            assert!(other.told.contains(part), "{}", other.told);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_in_time() {
        let (mut ours, _theirs) = tokio::io::duplex(1024);
        let finding = judge("s", ask(&mut ours, LIMIT).await, LIMIT);
        assert!(finding.told.contains("within 15s"), "{}", finding.told);
    }
}
