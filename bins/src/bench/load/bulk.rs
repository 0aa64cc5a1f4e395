//! Streams that carry as much as they can.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::{LoadError, Window};
use crate::bench::endpoint::{CHUNK, Endpoint, Role};
use crate::bench::frontend::Stream;
use crate::bench::process::cpu_seconds;
use crate::bench::side::Side;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Direction {
    /// From the endpoint to the frontends.
    Down,
    /// From the frontends to the endpoint.
    Up,
}

impl Direction {
    /// What the endpoint does.
    fn role(self) -> Role {
        match self {
            Self::Down => Role::Source,
            Self::Up => Role::Sink,
        }
    }
}

/// What was carried in a window.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Moved {
    /// Payload bytes that arrived.
    pub(in crate::bench) bytes: u64,
    /// How long the window was, in seconds.
    pub(in crate::bench) seconds: f64,
    /// CPU time that both processes of the side spent meanwhile, in seconds.
    pub(in crate::bench) cpu_seconds: f64,
}

impl Moved {
    /// The throughput.
    pub(in crate::bench) fn mib_per_second(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20) / self.seconds
    }
}

/// Running bulk streams; dropping it closes them.
#[derive(Debug)]
pub(in crate::bench) struct Bulk {
    direction: Direction,
    received: Arc<AtomicU64>,
    streams: JoinSet<io::Error>,
}

impl Bulk {
    /// Opens `streams` streams and sets them going.
    pub(in crate::bench) async fn start(
        side: &Side,
        direction: Direction,
        streams: usize,
    ) -> Result<Self, LoadError> {
        let role = direction.role();
        Self::start_on(direction, streams, || side.frontend.dial(role)).await
    }

    /// The same at another of the endpoint's addresses.
    pub(in crate::bench) async fn start_at(
        address: SocketAddr,
        side: &Side,
        direction: Direction,
        streams: usize,
    ) -> Result<Self, LoadError> {
        let role = direction.role();
        Self::start_on(direction, streams, || side.frontend.dial_at(address, role)).await
    }

    async fn start_on(
        direction: Direction,
        streams: usize,
        dial: impl AsyncFn() -> io::Result<Stream>,
    ) -> Result<Self, LoadError> {
        let mut bulk = Self {
            direction,
            received: Arc::default(),
            streams: JoinSet::new(),
        };
        for _ in 0..streams {
            let mut stream = dial().await?;
            match direction {
                Direction::Down => {
                    let received = Arc::clone(&bulk.received);
                    bulk.streams.spawn(async move {
                        let mut buffer = vec![0; CHUNK];
                        loop {
                            match stream.read(&mut buffer).await {
                                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                                Ok(bytes) => {
                                    received.fetch_add(bytes as u64, Ordering::Relaxed);
                                }
                                Err(error) => return error,
                            }
                        }
                    });
                }
                Direction::Up => {
                    bulk.streams.spawn(async move {
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
        Ok(bulk)
    }

    /// What arrives within `window`.
    pub(in crate::bench) async fn measure(
        &mut self,
        side: &Side,
        endpoint: &Endpoint,
        window: Window,
    ) -> Result<Moved, LoadError> {
        let pids = side.pids();
        sleep_until(window.from).await;
        let cpu = cpu_seconds(pids).map_err(LoadError::Process)?;
        let bytes = self.arrived(endpoint);
        // The clock is read again: a busy machine wakes sleepers late.
        let from = std::time::Instant::now();
        sleep_until(window.until).await;
        let seconds = from.elapsed().as_secs_f64();
        let moved = Moved {
            bytes: self.arrived(endpoint) - bytes,
            seconds,
            cpu_seconds: cpu_seconds(pids).map_err(LoadError::Process)? - cpu,
        };
        match self.streams.try_join_next() {
            None => Ok(moved),
            Some(ended) => Err(LoadError::BulkEnded(ended?)),
        }
    }

    fn arrived(&self, endpoint: &Endpoint) -> u64 {
        match self.direction {
            Direction::Down => self.received.load(Ordering::Relaxed),
            Direction::Up => endpoint.sunk(),
        }
    }
}
