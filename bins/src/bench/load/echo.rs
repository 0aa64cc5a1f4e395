//! Streams that ask and wait for the answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{LoadError, Window, gather};
use crate::bench::endpoint::Role;
use crate::bench::frontend::Stream;
use crate::bench::side::Side;
use crate::bench::statistics::Streams;

/// The length of a question and of its answer, in bytes: a small request.
const MESSAGE: usize = 64;

/// How long answers take on `streams` streams that each wait for one before they ask again.
pub(in crate::bench) async fn echo(
    side: &Side,
    streams: usize,
    window: Window,
) -> Result<Streams, LoadError> {
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let stream = side.frontend.dial(Role::Echo).await?;
        tasks.spawn(ask(stream, window));
    }
    gather(tasks, window).await
}

async fn ask(mut stream: Stream, window: Window) -> Result<Vec<Duration>, LoadError> {
    let mut samples = Vec::new();
    let mut answer = [0; MESSAGE];
    let mut count = 0_u64;
    loop {
        let asked = Instant::now();
        // The last answer is waited for, however late: leaving it out would hide the worst.
        if asked >= window.until {
            return Ok(samples);
        }
        count += 1;
        let question = question(count);
        stream.write_all(&question).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await?;
        if answer != question {
            return Err(LoadError::Altered);
        }
        let answered = Instant::now();
        if answered >= window.from {
            samples.push(answered.duration_since(asked));
        }
    }
}

/// A message unlike the one before it.
fn question(count: u64) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    for (index, part) in message.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&count.wrapping_add(index as u64).to_be_bytes());
    }
    message
}
