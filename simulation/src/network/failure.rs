//! Why a socket can't be used, in the system's terms.

use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Refused,
    Reset,
    TimedOut,
    BrokenPipe,
    NotConnected,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::from_raw_os_error(match failure {
            Failure::Refused => libc::ECONNREFUSED,
            Failure::Reset => libc::ECONNRESET,
            Failure::TimedOut => libc::ETIMEDOUT,
            Failure::BrokenPipe => libc::EPIPE,
            Failure::NotConnected => libc::ENOTCONN,
        })
    }
}
