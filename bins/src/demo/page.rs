//! The endpoint of the demonstration: a web server with one page.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::tool::http::read_head;

/// How many connections are served at once; more wait to be accepted.
const MOST_CONNECTIONS: usize = 64;

/// The pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A web server on loopback; dropping it ends it.
#[derive(Debug)]
pub(super) struct Page {
    address: SocketAddr,
    body: Arc<str>,
    _server: JoinSet<()>,
}

impl Page {
    /// Serves a page that no other server has, so that who gets it has been here.
    pub(super) async fn serve() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let body = Arc::from(format!(
            "<!doctype html>\n<title>Dialback</title>\n<p>You reached {address} through a tunnel ({:08x}).</p>\n",
            fastrand::u32(..)
        ));
        let mut server = JoinSet::new();
        server.spawn(accept(listener, Arc::clone(&body)));
        Ok(Self {
            address,
            body,
            _server: server,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it serves at `/`.
    pub(super) fn body(&self) -> &str {
        &self.body
    }
}

async fn accept(listener: TcpListener, body: Arc<str>) {
    let mut connections = JoinSet::new();
    loop {
        if connections.len() == MOST_CONNECTIONS {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(answer(stream, Arc::clone(&body)));
            }
            // The client went away, or descriptors ran out for the moment.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Answers one request; a client that fails meanwhile is no concern of the others.
async fn answer(mut stream: TcpStream, body: Arc<str>) -> io::Result<()> {
    let request = read_head(&mut stream).await?.head;
    let (status, body) = if request.starts_with(b"GET / ") {
        ("200 OK", &*body)
    } else {
        ("404 Not Found", "the page is at /\n")
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await?;
    // Reading until the client closes keeps the kernel from resetting what it has not yet fetched.
    copy(&mut stream, &mut sink()).await?;
    Ok(())
}
