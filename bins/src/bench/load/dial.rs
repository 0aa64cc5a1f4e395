//! Frontends that keep opening new connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{LoadError, Window, gather};
use crate::bench::endpoint::Role;
use crate::bench::frontend::Frontend;
use crate::bench::side::Side;
use crate::bench::statistics::Latencies;

/// What dialling came to.
#[derive(Clone, Debug)]
pub(in crate::bench) struct Dials {
    /// How many dials per second were completed within the window.
    pub(in crate::bench) per_second: f64,
    /// How long each took.
    pub(in crate::bench) latencies: Latencies,
}

/// Lets `dialers` frontends open a connection, get a byte echoed over it and close it, over and over.
///
/// The byte makes dials comparable: the relay accepts a connection before it has one to the endpoint.
pub(in crate::bench) async fn dial(
    side: &Side,
    dialers: usize,
    window: Window,
) -> Result<Dials, LoadError> {
    let completed = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..dialers {
        let frontend = Arc::clone(&side.frontend);
        tasks.spawn(dial_on(frontend, Arc::clone(&completed), window));
    }
    let latencies = gather(tasks, window).await?.all();
    Ok(Dials {
        per_second: completed.load(Ordering::Relaxed) as f64 / window.seconds(),
        latencies,
    })
}

async fn dial_on(
    frontend: Arc<Frontend>,
    completed: Arc<AtomicU64>,
    window: Window,
) -> Result<Vec<Duration>, LoadError> {
    let mut samples = Vec::new();
    loop {
        let dialled = Instant::now();
        if dialled >= window.until {
            return Ok(samples);
        }
        first_byte(&frontend).await?;
        let answered = Instant::now();
        if answered >= window.from {
            samples.push(answered.duration_since(dialled));
            if answered < window.until {
                completed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

async fn first_byte(frontend: &Frontend) -> Result<(), LoadError> {
    const BYTE: u8 = 0x2a;
    let mut stream = frontend.dial(Role::Echo).await?;
    stream.write_all(&[BYTE]).await?;
    stream.flush().await?;
    let answer = stream.read_u8().await.map_err(|error| {
        io::Error::new(error.kind(), format!("a new connection was cut: {error}"))
    })?;
    if answer == BYTE {
        Ok(())
    } else {
        Err(LoadError::Altered)
    }
}
