//! `dialback test-server`: an endpoint to send requests to, with the pages of Konnectivity's.

use std::io;
use std::time::Duration;

use dialback_tokio::TokioRuntime;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

use super::error::ClientError;
use super::forward::announce;
use super::listener::{Duplex, Listener, Local};
use crate::tool::http::read_head;
use crate::tool::signal::EndSignals;

/// How long a connection may be idle between requests.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// How long `/sleep` sleeps without being told, in seconds.
const DEFAULT_SLEEP: u64 = 10;
/// How long it sleeps at the longest.
const LONGEST_SLEEP: u64 = 3600;

const PAGE: &str = "<!DOCTYPE html>\n<html>\n  <body>\n    <p>Success!</p>\n  </body>\n</html>\n";

const EXAMPLES: &str = "\
Pages: /success, /sleep?time=SECONDS (10 by default), /error (status 500), /close (drops the connection)

Example:
  dialback test-server --listen 8000 & dialback request --config egress.yaml http://127.0.0.1:8000/success";

/// What `dialback test-server` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Where to listen: [ADDR:]PORT, on the loopback address if none is given, or the path of a Unix socket
    #[arg(long, value_name = "ADDR", default_value = "8000")]
    listen: Local,

    /// Listen on this port of the loopback address: Konnectivity's flag
    #[arg(long, value_name = "PORT", conflicts_with = "listen")]
    server_port: Option<u16>,
}

pub(super) async fn run(runtime: TokioRuntime, options: Options) -> Result<(), ClientError> {
    let mut signals = EndSignals::catch().map_err(ClientError::Prepare)?;
    let listen = match options.server_port {
        Some(port) => Local::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        },
        None => options.listen,
    };
    let listener = Listener::bind(&runtime, &listen)?;
    announce(&format!("serving pages on {listener}"));
    tokio::select! {
        () = listener.serve(&runtime, serve) => {}
        () = signals.received() => {}
    }
    Ok(())
}

/// Serves requests until the client is done, or one asks for an end.
async fn serve(mut client: Box<dyn Duplex>) {
    while let Ok(Ok(request)) = timeout(IDLE_LIMIT, read_head(&mut client)).await {
        // What came along would be another request, or a body: neither is looked at.
        let is_last = !request.rest.is_empty() || asks_for_close(&request.head);
        match answer(&mut client, &request.head, is_last).await {
            Ok(true) if !is_last => {}
            Ok(_) | Err(_) => break,
        }
    }
}

/// Tells whether the connection goes on.
async fn answer(client: &mut Box<dyn Duplex>, head: &[u8], is_last: bool) -> io::Result<bool> {
    let mut words = head.split(|byte| *byte == b' ');
    let (method, target) = (words.next(), words.next().unwrap_or_default());
    let target = String::from_utf8_lossy(target);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (status, body) = match path {
        "/success" => ("200 OK", PAGE),
        "/sleep" => {
            sleep(pause(query)).await;
            ("200 OK", PAGE)
        }
        "/error" => ("500 Internal Server Error", "Internal Server Error\n"),
        "/close" => return Ok(false),
        _ => ("404 Not Found", "404 page not found\n"),
    };
    let kind = if body == PAGE { "html" } else { "plain" };
    let connection = if is_last { "Connection: close\r\n" } else { "" };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Length: {}\r\n{connection}\r\n",
        body.len()
    );
    if method != Some(b"HEAD") {
        answer.push_str(body);
    }
    client.write_all(answer.as_bytes()).await?;
    client.flush().await?;
    Ok(true)
}

fn pause(query: &str) -> Duration {
    let mut parameters = query.split('&');
    let time = parameters.find_map(|parameter| parameter.strip_prefix("time="));
    let seconds = time.and_then(|time| time.parse().ok());
    Duration::from_secs(seconds.unwrap_or(DEFAULT_SLEEP).min(LONGEST_SLEEP))
}

fn asks_for_close(head: &[u8]) -> bool {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let mut lines = head.lines();
    lines
        .next()
        .is_some_and(|first| first.ends_with("http/1.0"))
        || lines.any(|line| {
            line.strip_prefix("connection:")
                .is_some_and(|value| value.split(',').any(|word| word.trim() == "close"))
        })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    async fn said(requests: &str) -> String {
        let (ours, mut theirs) = duplex(64 * 1024);
        let serving = tokio::spawn(serve(Box::new(ours)));
        theirs.write_all(requests.as_bytes()).await.unwrap();
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        serving.await.unwrap();
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn pages_are_those_of_the_reference() {
        let get = |path: &str| said_once(path.to_owned());
        let success = get("/success").await;
        assert!(success.starts_with("HTTP/1.1 200 OK\r\n"), "{success}");
        assert!(success.ends_with(PAGE));
        let error = get("/error").await;
        assert!(error.starts_with("HTTP/1.1 500 "), "{error}");
        assert!(error.ends_with("\r\n\r\nInternal Server Error\n"));
        assert_eq!(get("/close").await, "");
        assert!(get("/").await.starts_with("HTTP/1.1 404 "));
        for (path, seconds) in [("/sleep", 10), ("/sleep?time=3", 3), ("/sleep?time=x", 10)] {
            let start = tokio::time::Instant::now();
            assert!(get(path).await.ends_with(PAGE));
            assert_eq!(start.elapsed(), Duration::from_secs(seconds), "{path}");
        }
    }

    async fn said_once(path: String) -> String {
        said(&format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n")).await
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_kept_until_they_idle() {
        let answer = said("HEAD /success HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("close") && answer.ends_with("\r\n\r\n"));
    }
}
