//! Endpoints that an agent dials.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A TCP listener that does the same with every connection, until dropped.
pub struct Endpoint {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
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
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket));
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
        Self::start(move |mut socket| async move {
            let _ = socket.write_all(&pattern(bytes)).await;
            let _ = socket.shutdown().await;
            // Closing with unread bytes would be a reset.
            let mut rest = [0; 1024];
            while let Ok(1..) = socket.read(&mut rest).await {}
        })
        .await
    }

    /// Accepts and reads nothing.
    pub async fn black_hole() -> Self {
        Self::start(|socket| async move {
            std::future::pending::<()>().await;
            drop(socket);
        })
        .await
    }
}

/// Bytes that repeat with a period no buffer size divides, so that a lost or swapped piece shows.
#[must_use]
pub fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| u8::try_from(index % 251).unwrap_or_default()).collect()
}
