//! One stream whose reader takes nothing while bulk is sent to it, and bystanders beside it.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Dials, LoadError, Window, dial, echo};
use crate::bench::endpoint::{CHUNK, Role};
use crate::bench::frontend::Stream;
use crate::bench::side::Side;
use crate::bench::statistics::Latencies;

/// How long bulk is sent before bystanders are measured: all buffers on the way are full by then.
const FILL: Duration = Duration::from_millis(300);

/// Whose reading stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Stall {
    /// A frontend's, while the endpoint sends.
    Frontend,
    /// The endpoint's, while a frontend sends.
    Endpoint,
}

/// What the bystanders saw.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Stalled {
    /// An echo stream, opened before the stall.
    pub(in crate::bench) echo: Latencies,
    /// New dials.
    pub(in crate::bench) dials: Dials,
}

/// Stalls `streams` streams and measures one echo stream and one dialler beside them for `length`.
pub(in crate::bench) async fn stall(
    side: &Side,
    who: Stall,
    streams: usize,
    length: Duration,
) -> Result<Stalled, LoadError> {
    let mut unread: Vec<Stream> = Vec::new();
    // Dropped, and with it the streams closed, when the bystanders are done.
    let mut writers = JoinSet::new();
    for _ in 0..streams {
        match who {
            Stall::Frontend => unread.push(side.frontend.dial(Role::Source).await?),
            Stall::Endpoint => {
                let mut stream = side.frontend.dial(Role::Blackhole).await?;
                writers.spawn(async move {
                    let chunk = vec![0xa5; CHUNK];
                    loop {
                        if let Err(error) = stream.write_all(&chunk).await {
                            return error;
                        }
                    }
                });
            }
        }
    }
    sleep(FILL).await;
    let window = Window::after(Duration::ZERO, length);
    let (echo, dials) = tokio::try_join!(echo(side, 1, window), dial(side, 1, window))?;
    match writers.try_join_next() {
        None => Ok(Stalled { echo, dials }),
        Some(ended) => Err(LoadError::BulkEnded(ended?)),
    }
}
