//! The loop around `accept`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::net::{Listener, PeerAddr};
use crate::runtime::Runtime;

/// The wait after a shortage (`EMFILE` and the like), doubled up to the second with every further one: as in
/// Go's `net/http`.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Accepts for ever and runs `serve` for each connection, in a task of its own.
///
/// At most `limit` connections are served at a time; further ones wait in the backlog of the listener. Errors
/// of `accept` are logged and never end the loop. `full` is told each time the limit is met, after there was room to
/// spare. Dropping it leaves the connections alone.
pub async fn accept_loop<R, L, F, S>(
    runtime: &R,
    listener: &L,
    limit: usize,
    full: impl Fn(),
    serve: F,
) where
    R: Runtime,
    L: Listener,
    F: Fn(L::Stream, PeerAddr) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
    let room = Arc::new(Semaphore::new(limit));
    let mut wait = FIRST_WAIT;
    let mut told = false;
    loop {
        let free = room.available_permits();
        if free == 0 && !told {
            tracing::warn!(limit, "as many connections as may be: further ones wait");
            full();
        }
        // Once told, it is told again only after there was room to spare.
        told = free == 0 || (told && free <= limit / 8);
        // An error only if the semaphore were closed, which nobody does.
        let permit = Arc::clone(&room).acquire_owned().await;
        match listener.accept().await {
            Ok((socket, peer)) => {
                wait = FIRST_WAIT;
                let serving = serve(socket, peer);
                runtime.spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(%error, "a connection was gone before it was accepted");
            }
            Err(error) => {
                tracing::warn!(%error, ?wait, "connections can't be accepted for now");
                runtime.sleep_until(runtime.now() + wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// Errors of the connection at the head of the queue (accept(2)): the next may be fine.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EINTR
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::ETIMEDOUT
        )
    ) || matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
