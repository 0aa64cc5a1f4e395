//! One direction of one connection: bytes wait for their time.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::Conditions;

/// What is read at once, in bytes: a small part of what a throttled direction carries in a second.
const CHUNK: usize = 16 * 1024;

/// The queue in front of a throttled direction, as long as these take to leave; who sends more is held back.
const QUEUE: Duration = Duration::from_millis(10);

/// What may be under way without a throttle, in bytes.
const UNTHROTTLED: usize = 16 * 1024 * 1024;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who connected to the target.
    Forth,
    /// From the target to who connected.
    Back,
}

/// What was read, or that no more comes, and when it is to arrive.
struct Due {
    at: Instant,
    bytes: Option<Bytes>,
}

/// Passes on what `reader` yields until its end has been passed on, too.
pub(crate) async fn pass(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut conditions: watch::Receiver<Conditions>,
) -> io::Result<()> {
    let mut under_way: VecDeque<Due> = VecDeque::new();
    let mut bytes_under_way = 0;
    // When the last byte that was read has left for the path.
    let mut departed = Instant::now();
    let mut ended = false;
    let mut lasting = false;
    let mut buffer = BytesMut::new();
    loop {
        let now = *conditions.borrow_and_update();
        let may_read = !now.frozen
            && !ended
            && match now.bytes_per_second {
                Some(_) => departed <= Instant::now() + QUEUE,
                None => bytes_under_way < UNTHROTTLED,
            };
        let next_read = (!now.frozen && !ended && !may_read).then(|| departed - QUEUE);
        let arrival = under_way.front().filter(|_| !now.frozen).map(|due| due.at);
        buffer.reserve(CHUNK);
        tokio::select! {
            changed = conditions.changed(), if !lasting => lasting = changed.is_err(),
            () = at(arrival) => {
                let Some(mut due) = under_way.pop_front() else { continue };
                let Some(bytes) = &mut due.bytes else {
                    return writer.shutdown().await;
                };
                // Not all at once, so that a freeze meanwhile is one.
                let written = writer.write(bytes).await?;
                bytes.advance(written);
                bytes_under_way -= written;
                if !bytes.is_empty() {
                    under_way.push_front(due);
                }
            }
            read = reader.read_buf(&mut buffer), if may_read => {
                let length = read?;
                ended = length == 0;
                departed = departed.max(Instant::now());
                if let Some(rate) = now.bytes_per_second {
                    departed += Duration::from_secs_f64(length as f64 / rate.get() as f64);
                }
                bytes_under_way += length;
                let bytes = (!ended).then(|| buffer.split().freeze());
                under_way.push_back(Due { at: departed + now.delay, bytes });
            }
            () = at(next_read) => {}
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        // One that has come is no reason to give way to a timer.
        Some(instant) if instant <= Instant::now() => {}
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
