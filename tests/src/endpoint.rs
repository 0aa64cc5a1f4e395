//! Endpoints that an agent dials.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// A TCP listener that does the same with every connection; dropped, it ends with all of them.
pub struct Endpoint {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a connection to a [`Endpoint::sink`] brought.
#[derive(Debug)]
pub struct Delivery {
    pub bytes: Vec<u8>,
    /// How it ended; an error is a connection that was cut.
    pub end: io::Result<()>,
}

impl Endpoint {
    /// Serves each connection with `serve`.
    pub async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, task }
    }

    /// Sends back what it gets.
    pub async fn echo() -> Self {
        Self::start(|mut socket| async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                if socket.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// Sends `bytes` of [`pattern`] at once and closes.
    pub async fn source(bytes: usize) -> Self {
        Self::greeting(pattern(bytes)).await
    }

    /// Speaks first, then closes in order once the other side has.
    pub async fn greeting(bytes: Vec<u8>) -> Self {
        Self::start(move |mut socket| {
            let bytes = bytes.clone();
            async move {
                let _ = socket.write_all(&bytes).await;
                let _ = socket.shutdown().await;
                // Closing with unread bytes would be a reset.
                let mut rest = [0; 1024];
                while let Ok(1..) = socket.read(&mut rest).await {}
            }
        })
        .await
    }

    /// Takes everything and hands it over when the connection has ended.
    pub async fn sink() -> (Self, mpsc::UnboundedReceiver<Delivery>) {
        let (deliveries, delivered) = mpsc::unbounded_channel();
        let endpoint = Self::start(move |mut socket| {
            let deliveries = deliveries.clone();
            async move {
                let mut bytes = Vec::new();
                let end = socket.read_to_end(&mut bytes).await.map(drop);
                let _ = deliveries.send(Delivery { bytes, end });
            }
        })
        .await;
        (endpoint, delivered)
    }

    /// Accepts and reads nothing.
    pub async fn black_hole() -> Self {
        Self::start(|socket| async move {
            std::future::pending::<()>().await;
            drop(socket);
        })
        .await
    }

    /// Sends `greeting`, waits for one byte and resets the connection.
    pub async fn resetting(greeting: &'static [u8]) -> Self {
        Self::start(move |mut socket| async move {
            let _ = socket.write_all(greeting).await;
            let _ = socket.read_u8().await;
            let _ = socket.set_zero_linger();
        })
        .await
    }
}

/// A port that nobody listens on and nobody else can get: dials are refused.
pub struct ClosedPort {
    pub address: SocketAddr,
    _bound: TcpSocket,
}

impl ClosedPort {
    #[expect(clippy::new_without_default, reason = "it takes a port of the system")]
    #[must_use]
    pub fn new() -> Self {
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            address: bound.local_addr().unwrap(),
            _bound: bound,
        }
    }
}

/// A listener whose queue is full: dials hang.
pub struct HangingPort {
    pub address: SocketAddr,
    _listener: TcpListener,
    _queued: TcpStream,
}

impl HangingPort {
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // The queue of a backlog of 0 takes one connection, the SYN of the next is dropped.
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queued = TcpStream::connect(address).await.unwrap();
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// Bytes that repeat with a period no buffer size divides, so that a lost or swapped piece shows.
#[must_use]
pub fn pattern(bytes: usize) -> Vec<u8> {
    pattern_from(0, bytes)
}

/// [`pattern`], begun elsewhere: streams with different starts can't be taken for each other.
#[must_use]
pub fn pattern_from(start: usize, bytes: usize) -> Vec<u8> {
    (start..start + bytes)
        .map(|index| u8::try_from(index % 251).unwrap_or_default())
        .collect()
}
