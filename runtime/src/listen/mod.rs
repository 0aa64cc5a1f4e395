//! Listening sockets, bound before anything is served, and the loop that accepts from one.

mod accept;
mod error;
mod socket_file;
mod tcp;
mod unix;

pub use accept::accept_loop;
pub use error::{ListenCause, ListenError};
pub use socket_file::SocketFile;
pub use tcp::bind_tcp;
pub use unix::{ExistingFile, UnixSocket, bind_unix};
