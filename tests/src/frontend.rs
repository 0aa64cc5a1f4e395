//! Frontends that dial through a server.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Asks for a tunnel over HTTP-CONNECT; the socket carries the tunnel's bytes afterwards.
///
/// # Errors
/// The whole answer, when it is not the reference's 200.
pub async fn connect(socket: &Path, authority: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head == b"HTTP/1.1 200 Connection Established\r\n\r\n" {
        return Ok(stream);
    }
    stream.read_to_end(&mut head).await?;
    Err(io::Error::other(String::from_utf8_lossy(&head).into_owned()))
}
