//! Carries the bytes of one direction of one connection.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::direction::Conditions;

/// The most that is read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// How far the entrance of a throttled direction may be ahead of its rate: more than the timer's granularity.
const AHEAD: Duration = Duration::from_millis(5);
/// The most that is under way where no rate bounds it.
const UNDER_WAY_BYTES: usize = 16 * 1024 * 1024;

/// Carries bytes until the end of `from`, which it passes on.
///
/// The model is a wire with a slow entrance: a chunk takes its size over the rate to get in, and the latency to get
/// out. What does not get in yet stays in the sockets, whose sender is paused when they are full. So what waits
/// here is at most the rate times the latency and a chunk or two.
pub(crate) async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut conditions: watch::Receiver<Conditions>,
) -> io::Result<()> {
    let mut wire = Wire::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let now = Instant::now();
        let current = *conditions.borrow_and_update();
        if wire.is_over(now) && !current.frozen {
            return to.shutdown().await;
        }
        let readable = !current.frozen && wire.has_room(now, &current);
        let leaving = wire.first_leaving(now).filter(|_| !current.frozen);
        let wake = wire.next_change(now).filter(|_| !current.frozen);
        let most = chunk_bytes(&current);
        tokio::select! {
            biased;
            changed = conditions.changed() => if changed.is_err() {
                // The relay is gone, and so is this connection.
                return Err(io::ErrorKind::ConnectionAborted.into());
            },
            written = write_some(&mut to, leaving) => wire.left(written?),
            read = from.read(&mut buffer[..most]), if readable => {
                wire.enter(Instant::now(), &current, &buffer[..read?]);
            }
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
    }
}

/// How much of a chunk is read at once: little at a low rate, so that the bytes come evenly.
fn chunk_bytes(conditions: &Conditions) -> usize {
    let Some(rate) = conditions.bytes_per_second else {
        return CHUNK_BYTES;
    };
    usize::try_from(rate / 200).map_or(CHUNK_BYTES, |bytes| bytes.clamp(1, CHUNK_BYTES))
}

async fn write_some(
    to: &mut (impl AsyncWrite + Unpin),
    chunk: Option<&Bytes>,
) -> io::Result<usize> {
    match chunk {
        Some(chunk) => to.write(chunk).await,
        None => std::future::pending().await,
    }
}

/// What is under way.
struct Wire {
    chunks: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// When the entrance has taken all that came so far.
    free_at: Instant,
    /// When the end of the bytes comes out.
    end: Option<Instant>,
}

impl Wire {
    fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: 0,
            free_at: Instant::now(),
            end: None,
        }
    }

    /// Every byte has left, and the end is due.
    fn is_over(&self, now: Instant) -> bool {
        self.chunks.is_empty() && self.end.is_some_and(|end| end <= now)
    }

    fn has_room(&self, now: Instant, conditions: &Conditions) -> bool {
        self.end.is_none() && self.free_at <= now + AHEAD && self.bytes < bound(conditions)
    }

    /// A chunk, or with no bytes the end, has come to the entrance.
    fn enter(&mut self, now: Instant, conditions: &Conditions, chunk: &[u8]) {
        self.free_at = self.free_at.max(now);
        if let Some(rate) = conditions.bytes_per_second {
            self.free_at += Duration::from_secs_f64(chunk.len() as f64 / rate as f64);
        }
        // A shorter latency from now on lets nothing overtake what is under way.
        let last = self.chunks.back().map_or(now, |(out, _)| *out);
        let out = last.max(self.free_at + conditions.latency);
        if chunk.is_empty() {
            self.end = Some(out);
        } else {
            self.bytes += chunk.len();
            self.chunks.push_back((out, Bytes::copy_from_slice(chunk)));
        }
    }

    /// The chunk to be written now.
    fn first_leaving(&self, now: Instant) -> Option<&Bytes> {
        let (out, chunk) = self.chunks.front()?;
        (*out <= now).then_some(chunk)
    }

    /// So many bytes of the first chunk were written.
    fn left(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if let Some((_, chunk)) = self.chunks.front_mut() {
            chunk.advance(bytes);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
    }

    /// When something comes out or the entrance is free again.
    fn next_change(&self, now: Instant) -> Option<Instant> {
        let out = self.chunks.front().map(|(out, _)| *out).or(self.end);
        let free = self.end.is_none().then(|| self.free_at - AHEAD);
        [out, free]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }
}

/// What a wire holds under these conditions, in bytes.
fn bound(conditions: &Conditions) -> usize {
    let Some(rate) = conditions.bytes_per_second else {
        return UNDER_WAY_BYTES;
    };
    let held = (conditions.latency + 2 * AHEAD).as_secs_f64() * rate as f64;
    (held as usize).saturating_add(CHUNK_BYTES)
}
