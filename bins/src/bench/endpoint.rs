//! The endpoint of the measurements: a TCP server on threads of its own, the same for both sides.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// What is read or written at once, in bytes.
pub(super) const CHUNK: usize = 64 * 1024;

/// The length of a record of [`Role::Feed`], in bytes, and how often there is one.
pub(super) const FEED_RECORD: usize = 64;
const FEED_PAUSE: Duration = Duration::from_millis(10);

/// How often the number of open connections is looked at.
const POLL: Duration = Duration::from_millis(2);

/// What the endpoint does on a connection; the frontend chooses with the first byte that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Sends back what it receives.
    Echo,
    /// Sends without end.
    Source,
    /// Sends a record now and then, as a log that is followed.
    Feed,
    /// Takes and counts what it receives.
    Sink,
    /// Reads nothing and sends nothing.
    Blackhole,
}

impl Role {
    /// The first byte on the connection.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Echo => b'e',
            Self::Source => b's',
            Self::Feed => b'f',
            Self::Sink => b'k',
            Self::Blackhole => b'b',
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Echo,
            Self::Source,
            Self::Feed,
            Self::Sink,
            Self::Blackhole,
        ]
        .into_iter()
        .find(|role| role.byte() == byte)
    }
}

/// Where the endpoint is reached a second time: another destination to who tells them apart by their addresses.
pub(super) const SECOND_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A server on loopback ports of the system's choice; dropping it ends it.
#[derive(Debug)]
pub(super) struct Endpoint {
    address: SocketAddr,
    second_address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that sinks have taken.
    sunk: AtomicU64,
    /// Connections that are open.
    open: AtomicUsize,
    /// Tells blackholes to end.
    release: Notify,
}

impl Endpoint {
    /// Starts to listen.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads())
            .thread_name("endpoint")
            .enable_all()
            .build()?;
        let shared = Arc::new(Shared::default());
        let listen = |host: Ipv4Addr| {
            let listener = std::net::TcpListener::bind((host, 0))?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let _entered = runtime.enter();
            let listener = TcpListener::from_std(listener)?;
            runtime.spawn(accept(listener, Arc::clone(&shared)));
            io::Result::Ok(address)
        };
        let (address, second_address) = (listen(Ipv4Addr::LOCALHOST)?, listen(SECOND_HOST)?);
        Ok(Self {
            address,
            second_address,
            shared,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens on [`SECOND_HOST`].
    pub(super) fn second_address(&self) -> SocketAddr {
        self.second_address
    }

    /// The number of bytes that all sinks have taken so far.
    pub(super) fn sunk(&self) -> u64 {
        self.shared.sunk.load(Ordering::Relaxed)
    }

    /// Waits until no connection is left; the number left if that takes longer than `limit`.
    ///
    /// What one measurement left on its way would otherwise count in the next.
    pub(super) async fn quiet(&self, limit: Duration) -> Result<(), usize> {
        let limit = Instant::now() + limit;
        loop {
            self.shared.release.notify_waiters();
            match self.shared.open.load(Ordering::Acquire) {
                0 => return Ok(()),
                left if Instant::now() >= limit => return Err(left),
                _ => sleep(POLL).await,
            }
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // Not the plain drop, which waits for the threads and must not be done inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The worker threads of the endpoint, and of the load generator: they share the machine with the daemons.
pub(super) fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, 4)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                shared.open.fetch_add(1, Ordering::AcqRel);
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // An error is how most connections end here: the frontend just goes away.
                    let _ = serve(stream, &shared).await;
                    shared.open.fetch_sub(1, Ordering::AcqRel);
                });
            }
            Err(_) => sleep(POLL).await,
        }
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let role = Role::from_byte(stream.read_u8().await?);
    match role {
        None => Err(io::ErrorKind::InvalidData.into()),
        Some(Role::Echo) => {
            let mut buffer = vec![0; CHUNK];
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return Ok(()),
                    bytes => stream.write_all(&buffer[..bytes]).await?,
                }
            }
        }
        Some(Role::Source) => {
            let chunk = vec![0x5a; CHUNK];
            until_ended(stream, async |writer| {
                loop {
                    writer.write_all(&chunk).await?;
                }
            })
            .await
        }
        Some(Role::Feed) => {
            until_ended(stream, async |writer| {
                for number in 0.. {
                    writer.write_all(&feed_record(number)).await?;
                    sleep(FEED_PAUSE).await;
                }
                Ok(())
            })
            .await
        }
        Some(Role::Sink) => {
            let mut buffer = vec![0; CHUNK];
            loop {
                match stream.read(&mut buffer).await? {
                    0 => return Ok(()),
                    bytes => shared.sunk.fetch_add(bytes as u64, Ordering::Relaxed),
                };
            }
        }
        Some(Role::Blackhole) => {
            shared.release.notified().await;
            Ok(())
        }
    }
}

/// Sends until the frontend, which sends nothing more, has ended.
async fn until_ended(
    mut stream: TcpStream,
    send: impl AsyncFnOnce(&mut WriteHalf<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut byte = [0; 1];
    tokio::select! {
        ended = reader.read(&mut byte) => ended.map(|_| ()),
        failed = send(&mut writer) => failed,
    }
}

/// A record of [`Role::Feed`], unlike all others.
pub(super) fn feed_record(number: u64) -> [u8; FEED_RECORD] {
    let mut record = [0; FEED_RECORD];
    for (index, part) in record.chunks_exact_mut(8).enumerate() {
        let content = number.wrapping_mul(8).wrapping_add(index as u64);
        part.copy_from_slice(&content.to_be_bytes());
    }
    record
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    async fn open(endpoint: &Endpoint, role: Role) -> TcpStream {
        let mut stream = TcpStream::connect(endpoint.address()).await.unwrap();
        stream.write_u8(role.byte()).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn each_role_does_its_part() {
        let endpoint = Endpoint::start().unwrap();
        let mut echo = open(&endpoint, Role::Echo).await;
        let mut source = open(&endpoint, Role::Source).await;
        let mut feed = open(&endpoint, Role::Feed).await;
        let mut sink = open(&endpoint, Role::Sink).await;
        let blackhole = open(&endpoint, Role::Blackhole).await;

        echo.write_all(b"abc").await.unwrap();
        let mut back = [0; 3];
        echo.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"abc");

        let mut much = vec![0; 3 * CHUNK];
        source.read_exact(&mut much).await.unwrap();

        let mut record = [0; FEED_RECORD];
        for number in 0..2 {
            feed.read_exact(&mut record).await.unwrap();
            assert_eq!(record, feed_record(number));
        }

        sink.write_all(&much).await.unwrap();
        sink.shutdown().await.unwrap();
        assert_eq!(sink.read(&mut back).await.unwrap(), 0);
        assert_eq!(endpoint.sunk(), 3 * CHUNK as u64);

        drop((echo, source, feed, sink, blackhole));
        assert_eq!(endpoint.quiet(Duration::from_secs(10)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_connection_left_open_is_reported() {
        let endpoint = Endpoint::start().unwrap();
        let mut stream = open(&endpoint, Role::Echo).await;
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        assert_eq!(endpoint.quiet(Duration::ZERO).await, Err(1));
    }

    #[test]
    fn the_first_byte_names_the_role() {
        assert_eq!(Role::from_byte(Role::Source.byte()), Some(Role::Source));
        assert_eq!(Role::from_byte(b'?'), None);
    }
}
