//! One connection: requests in turn, each with its answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use super::request::{BadRequest, Body, Header, parse};
use super::response::Response;
use super::serve::{Answer, HttpLimits, Routes};
use crate::net::Socket;
use crate::runtime::Runtime;
use crate::timer::timeout_at;

/// A body up to this size is read before the request is answered.
const MAX_READ: u64 = 1024;
/// A body up to this size is skipped; behind a larger one the connection ends.
const MAX_SKIPPED: u64 = 256 * 1024;
/// How long a client has to take an answer that it did not wait for: a reset could take it away again.
const LINGER: Duration = Duration::from_millis(500);
const READ_SIZE: usize = 4 * 1024;

/// A connection of a client.
#[derive(Debug)]
pub(super) struct Connection<R: Runtime, S: Socket> {
    pub(super) runtime: R,
    pub(super) limits: HttpLimits,
    pub(super) stopping: CancellationToken,
    pub(super) socket: S,
    /// What was read and not yet answered.
    pub(super) received: Vec<u8>,
}

impl<R: Runtime, S: Socket> Connection<R, S> {
    /// Serves until the client or the server has had enough.
    pub(super) async fn serve<T: Routes>(mut self, routes: &T) -> io::Result<()> {
        loop {
            let Some(complete) = self.header().await? else {
                return Ok(());
            };
            if let Err(bad) = complete {
                return self.refuse(bad).await;
            }
            let (answer, behind) = loop {
                let missing = match parse(&self.received) {
                    Ok(Some(mut header)) => {
                        let end = header.length + header.body.read_length();
                        match self.received.get(header.length..end) {
                            Some(body) => {
                                header.request.body = body;
                                let answer = routes.answer(&header.request);
                                let behind = Behind::of(&header);
                                self.received.drain(..end);
                                break (answer, behind);
                            }
                            None => end,
                        }
                    }
                    Ok(None) => return self.refuse(BadRequest::Malformed).await,
                    Err(bad) => return self.refuse(bad).await,
                };
                self.receive(missing).await?;
            };
            let response = match answer {
                Answer::Now(response) => response,
                Answer::Later(response) => match self.wait_for(response).await? {
                    Some(response) => response,
                    None => return Ok(()),
                },
            };
            let keep_alive = behind.keep_alive && !self.stopping.is_cancelled();
            let date = httpdate::fmt_http_date(SystemTime::now());
            let response = response.encode(&date, behind.head, keep_alive);
            self.send(&response).await?;
            if !keep_alive {
                return self.finish().await;
            }
            self.skip(behind.unread).await?;
        }
    }

    /// Waits for an answer that takes time; `None` when the client has gone away or the listener ends before.
    async fn wait_for(
        &mut self,
        mut response: Pin<Box<dyn Future<Output = Response> + Send>>,
    ) -> io::Result<Option<Response>> {
        loop {
            // The next requests wait in the system when there are many.
            let listens = self.received.len() < self.limits.max_header_bytes;
            if listens {
                self.received.reserve(READ_SIZE);
            }
            tokio::select! {
                biased;
                response = &mut response => return Ok(Some(response)),
                () = self.stopping.cancelled() => return Ok(None),
                read = self.socket.read_buf(&mut self.received), if listens => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads until there is a whole header, or what can be none. `None` when the connection is to end.
    async fn header(&mut self) -> io::Result<Option<Result<(), BadRequest>>> {
        let deadline = self.runtime.now() + self.limits.timeout;
        let mut searched = 0;
        loop {
            if let Some(end) = header_end(&self.received, searched) {
                return Ok(Some(if end > self.limits.max_header_bytes {
                    Err(BadRequest::TooLarge)
                } else {
                    Ok(())
                }));
            }
            if self.received.len() >= self.limits.max_header_bytes {
                return Ok(Some(Err(BadRequest::TooLarge)));
            }
            // The first bytes tell what does not speak HTTP at all. To parse at every byte would take too long.
            if searched == 0
                && !self.received.is_empty()
                && let Err(bad) = parse(&self.received)
            {
                return Ok(Some(Err(bad)));
            }
            searched = self.received.len();
            self.received.reserve(READ_SIZE);
            let reading = timeout_at(
                &self.runtime,
                deadline,
                self.socket.read_buf(&mut self.received),
            );
            let read = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return Ok(None),
                read = reading => read,
            };
            match read {
                Ok(read) => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// Reads until so many bytes are there.
    async fn receive(&mut self, length: usize) -> io::Result<()> {
        let deadline = self.runtime.now() + self.limits.timeout;
        while self.received.len() < length {
            self.received.reserve(READ_SIZE);
            let reading = self.socket.read_buf(&mut self.received);
            if limited(&self.runtime, deadline, reading).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    async fn skip(&mut self, length: u64) -> io::Result<()> {
        let deadline = self.runtime.now() + self.limits.timeout;
        let mut rest = usize::try_from(length).unwrap_or(usize::MAX);
        loop {
            let here = rest.min(self.received.len());
            self.received.drain(..here);
            rest -= here;
            if rest == 0 {
                return Ok(());
            }
            self.received.reserve(READ_SIZE);
            let reading = self.socket.read_buf(&mut self.received);
            if limited(&self.runtime, deadline, reading).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The answer to what is no request, in Go's form, and the end.
    async fn refuse(mut self, bad: BadRequest) -> io::Result<()> {
        let status = bad.status();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{status}"
        );
        self.send(answer.as_bytes()).await?;
        self.finish().await
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let deadline = self.runtime.now() + self.limits.timeout;
        let sending = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        limited(&self.runtime, deadline, sending).await
    }

    /// Ends the sending direction and takes what still comes, for a moment.
    async fn finish(mut self) -> io::Result<()> {
        self.socket.shutdown().await?;
        let deadline = self.runtime.now() + LINGER;
        let mut taken = self.socket.take(MAX_SKIPPED);
        let mut nowhere = tokio::io::sink();
        let taking = tokio::io::copy(&mut taken, &mut nowhere);
        // Whether it was all is the client's business.
        let _ = timeout_at(&self.runtime, deadline, taking).await;
        Ok(())
    }
}

/// What follows a request that was answered.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// Its answer has no body.
    head: bool,
    /// Another request may come on this connection.
    keep_alive: bool,
    /// Bytes of its body that come first.
    unread: u64,
}

impl Behind {
    fn of(header: &Header<'_>) -> Self {
        let unread = match header.body {
            Body::Length(length) if length <= MAX_READ => Some(0),
            Body::Length(length) if length <= MAX_SKIPPED => Some(length),
            Body::Length(_) | Body::Unknown => None,
        };
        Self {
            head: header.request.method == "HEAD",
            keep_alive: header.keep_alive && unread.is_some(),
            unread: unread.unwrap_or_default(),
        }
    }
}

impl Body {
    /// Bytes of it that are read before the answer is made.
    fn read_length(self) -> usize {
        match self {
            Self::Length(length) if length <= MAX_READ => usize::try_from(length).unwrap_or(0),
            Self::Length(_) | Self::Unknown => 0,
        }
    }
}

async fn limited<R: Runtime, T>(
    runtime: &R,
    deadline: Instant,
    future: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout_at(runtime, deadline, future)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Where the header ends: behind an empty line. Bytes before `searched` have none.
fn header_end(received: &[u8], searched: usize) -> Option<usize> {
    let start = searched.saturating_sub(3);
    let tail = &received[start..];
    let position = (0..tail.len()).find_map(|index| match &tail[index..] {
        [b'\n', b'\n', ..] => Some(index + 2),
        [b'\n', b'\r', b'\n', ..] => Some(index + 3),
        _ => None,
    })?;
    Some(start + position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_header_is_found_wherever_reads_were_cut() {
        for text in [
            "GET / HTTP/1.1\r\nA: b\r\n\r\nrest",
            "GET / HTTP/1.1\nA: b\n\nrest",
        ] {
            let end = text.len() - 4;
            for cut in 0..end {
                assert_eq!(header_end(&text.as_bytes()[..cut], 0), None);
                assert_eq!(header_end(text.as_bytes(), cut), Some(end), "{cut}");
            }
        }
    }
}
