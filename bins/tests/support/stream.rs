//! A stream through the daemons, both ends of it in this process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use super::daemon::PROMPTLY;
use super::pair::Site;

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// A stream between a frontend and an endpoint, both in this process.
pub(crate) struct Stream {
    pub(crate) frontend: UnixStream,
    pub(crate) endpoint: TcpStream,
}

impl Stream {
    /// Through the server's Unix socket, in HTTP-CONNECT mode; has carried a byte each way.
    pub(crate) fn open(site: &Site) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut frontend = UnixStream::connect(site.socket()).unwrap();
        frontend.set_read_timeout(Some(PROMPTLY)).unwrap();
        let address = listener.local_addr().unwrap();
        write!(frontend, "CONNECT {address} HTTP/1.1\r\n\r\n").unwrap();
        let (endpoint, _) = listener.accept().unwrap();
        endpoint.set_read_timeout(Some(PROMPTLY)).unwrap();
        let mut answer = [0; ESTABLISHED.len()];
        frontend.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ESTABLISHED);
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
