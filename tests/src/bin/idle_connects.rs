//! Opens connections and sends nothing, so that a test can have more of them than one process may have
//! descriptors: `idle_connects COUNT ADDRESS`, or a path in place of the address.
//!
//! Writes a line once all are open, and ends when its standard input does.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use dialback_tests::descriptors::allow;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (count, target) = (arguments.next().unwrap(), arguments.next().unwrap());
    let count: u64 = count.parse().unwrap();
    allow(count + 16);
    let open = || -> OwnedFd {
        if target.starts_with('/') {
            UnixStream::connect(&target).unwrap().into()
        } else {
            TcpStream::connect(&target).unwrap().into()
        }
    };
    let held: Vec<OwnedFd> = (0..count).map(|_| open()).collect();
    std::io::stdout().write_all(b"open\n").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    drop(held);
}
