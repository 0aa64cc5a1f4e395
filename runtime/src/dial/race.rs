//! Which of several addresses to connect to: Go's choice, order and shares of time (`net/dial.go`).

use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::failure::Cause;
use crate::runtime::Runtime;
use crate::timer::timeout_at;

/// How long the addresses of the preferred family have before the others join in (RFC 6555, Go's default).
const FALLBACK_DELAY: Duration = Duration::from_millis(300);
/// No address gets less time than this while there is more.
const SHORTEST_SHARE: Duration = Duration::from_secs(2);

/// Where it led, and the connection.
pub(super) type Connected<R> = (SocketAddr, <R as Runtime>::TcpStream);

/// Where it failed, and why.
pub(super) type Failed = (SocketAddr, Cause);

/// Connects to the first address that answers. Addresses of the family that the first is of are tried in
/// turn; those of the other join in after a moment, or when the first family has failed.
pub(super) async fn connect<R: Runtime>(
    runtime: &R,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<Connected<R>, Option<Failed>> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (primaries, fallbacks): (Vec<_>, Vec<_>) = addresses
        .iter()
        .partition(|address| address.is_ipv4() == preferred);
    if fallbacks.is_empty() {
        return in_turn(runtime, &primaries, deadline).await;
    }
    let mut primary = pin!(in_turn(runtime, &primaries, deadline));
    let mut fallback = pin!(in_turn(runtime, &fallbacks, deadline));
    let head_start = runtime.sleep_until(runtime.now() + FALLBACK_DELAY);
    tokio::select! {
        biased;
        connected = &mut primary => match connected {
            Ok(socket) => return Ok(socket),
            // The preferred family's error is the one to tell.
            Err(failed) => return fallback.await.map_err(|_| failed),
        },
        () = head_start => {}
    }
    tokio::select! {
        biased;
        connected = &mut primary => match connected {
            Ok(socket) => Ok(socket),
            Err(failed) => fallback.await.map_err(|_| failed),
        },
        connected = &mut fallback => match connected {
            Ok(socket) => Ok(socket),
            Err(_) => primary.await,
        },
    }
}

/// Tries one after the other; the first error is the most telling. `None` if there is no address.
async fn in_turn<R: Runtime>(
    runtime: &R,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<Connected<R>, Option<Failed>> {
    let mut first = None;
    let mut remaining = addresses.len();
    for address in addresses {
        let now = runtime.now();
        let failed = if now >= deadline {
            Cause::TimedOut
        } else {
            let limit = now + share(deadline - now, remaining);
            match timeout_at(runtime, limit, runtime.connect_tcp(*address)).await {
                Ok(Ok(socket)) => return Ok((*address, socket)),
                Ok(Err(error)) => Cause::connect(error),
                Err(_) => Cause::TimedOut,
            }
        };
        first.get_or_insert((*address, failed));
        if runtime.now() >= deadline {
            break;
        }
        remaining -= 1;
    }
    Err(first)
}

/// Equal parts of the time that is left, unless they are too short to be of use.
fn share(left: Duration, remaining: usize) -> Duration {
    let parts = u32::try_from(remaining).unwrap_or(u32::MAX).max(1);
    (left / parts).max(SHORTEST_SHARE).min(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shared_as_in_go() {
        let seconds = Duration::from_secs;
        for (left, remaining, expected) in [(5, 1, 5), (30, 3, 10), (5, 4, 2), (1, 4, 1), (2, 1, 2)]
        {
            assert_eq!(share(seconds(left), remaining), seconds(expected));
        }
    }
}
