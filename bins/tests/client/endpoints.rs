//! What is dialled.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::daemon::eventually;
use crate::support::pair::Pair;

/// An endpoint that serves until the test process ends; one thread a connection.
pub(crate) fn endpoint(
    serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(connection));
        }
    });
    address
}

/// Sends everything back.
pub(crate) fn echo() -> SocketAddr {
    endpoint(|mut connection| {
        let mut back = connection.try_clone()?;
        io::copy(&mut connection, &mut back)?;
        connection.shutdown(Shutdown::Write)
    })
}

/// Reads to the end of what it is told, and only then says how much that was and what its bytes add up to.
pub(crate) fn sum() -> SocketAddr {
    endpoint(|mut connection| {
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes)?;
        connection.write_all(summary(&bytes).as_bytes())
    })
}

/// The length and a sum that tells the order of bytes.
pub(crate) fn summary(bytes: &[u8]) -> String {
    let sum = bytes
        .iter()
        .fold(0_u64, |sum, byte| sum.rotate_left(7) ^ u64::from(*byte));
    format!("{} bytes, {sum:x}", bytes.len())
}

/// Sends back one line and closes: what it says arrives however the way there treats half-closed connections.
pub(crate) fn line() -> SocketAddr {
    endpoint(|mut connection| {
        let mut line = String::new();
        BufReader::new(connection.try_clone()?).read_line(&mut line)?;
        write!(connection, "you said {line}")
    })
}

/// A web server with one page.
pub(crate) fn web() -> SocketAddr {
    endpoint(|mut connection| {
        let mut request = BufReader::new(connection.try_clone()?).lines();
        let first = request.next().unwrap_or_else(|| Ok(String::new()))?;
        for line in request {
            if line?.is_empty() {
                break;
            }
        }
        let length = first.len() + 1;
        write!(
            connection,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{first}\n"
        )
    })
}

/// As [`web`], over TLS with the server's certificate of `pair`.
pub(crate) fn secure_web(pair: &Pair) -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(pair.site.file("server.crt"))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(pair.site.file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    endpoint(move |connection| {
        let session = rustls::ServerConnection::new(Arc::clone(&config));
        let mut stream = rustls::StreamOwned::new(session.map_err(io::Error::other)?, connection);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsecret")?;
        stream.conn.send_close_notify();
        stream.flush()
    })
}

/// An endpoint whose connects neither succeed nor fail: its queue is full.
pub(crate) struct Hanging {
    listener: TcpListener,
    _queued: TcpStream,
}

impl Hanging {
    pub(crate) fn new() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        // A backlog of 0 takes one connection; the SYN of the next is dropped.
        listen(&listener, 0).unwrap();
        let listener = TcpListener::from(listener);
        let queued = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self {
            listener,
            _queued: queued,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Waits until somebody tries to connect, or nobody any more.
    pub(crate) fn until_tried(&self, tried: bool) {
        eventually(|| {
            if self.is_tried() == tried {
                Ok(())
            } else {
                Err(format!("tried: {}", !tried))
            }
        });
    }

    /// Whether a connect is under way, as the kernel's table of sockets tells.
    fn is_tried(&self) -> bool {
        const SYN_SENT: &str = "02";
        let port = format!("0100007F:{:04X}", self.address().port());
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|socket| {
            let mut columns = socket.split_whitespace().skip(2);
            columns.next() == Some(&port) && columns.next() == Some(SYN_SENT)
        })
    }
}
