//! A stream through the daemons, both ends of it in this process.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::daemon::PROMPTLY;
use super::pair::Site;

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// Connects to a server's Unix socket and asks for a stream, whose answer is still to come.
pub(crate) fn request(socket: &Path, endpoint: SocketAddr) -> io::Result<UnixStream> {
    let mut frontend = UnixStream::connect(socket)?;
    frontend.set_read_timeout(Some(PROMPTLY))?;
    write!(frontend, "CONNECT {endpoint} HTTP/1.1\r\n\r\n")?;
    Ok(frontend)
}

/// Takes the answer that there is a stream; any other is an error.
pub(crate) fn established(frontend: &mut UnixStream) -> io::Result<()> {
    let mut answer = [0; ESTABLISHED.len()];
    frontend.read_exact(&mut answer)?;
    if answer == ESTABLISHED {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Err(io::Error::other(answer))
}

/// A stream between a frontend and an endpoint, both in this process.
pub(crate) struct Stream {
    pub(crate) frontend: UnixStream,
    pub(crate) endpoint: TcpStream,
}

impl Stream {
    /// Through the server's Unix socket, in HTTP-CONNECT mode; has carried a byte each way.
    pub(crate) fn open(site: &Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut frontend = request(&site.socket(), listener.local_addr().unwrap()).unwrap();
        let (endpoint, _) = listener.accept().unwrap();
        endpoint.set_read_timeout(Some(PROMPTLY)).unwrap();
        established(&mut frontend).unwrap();
        let mut stream = Self { frontend, endpoint };
        stream.exchange();
        stream
    }

    /// Carries a byte each way.
    pub(crate) fn exchange(&mut self) {
        let mut byte = [0];
        self.frontend.write_all(b"x").unwrap();
        self.endpoint.read_exact(&mut byte).unwrap();
        self.endpoint.write_all(b"y").unwrap();
        self.frontend.read_exact(&mut byte).unwrap();
    }
}
