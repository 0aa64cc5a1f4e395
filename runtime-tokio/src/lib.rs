//! [`dialback_runtime::Runtime`] on tokio: sockets, timers, tasks and signals.
//!
//! With the feature `hyper`, `connectivity::Connector` connects hyper's clients (and those built on hyper, such as
//! kube's) through a proxy server.

pub mod connectivity;
mod net;
mod runtime;
mod signal;
mod time;

pub use net::{TokioTcpListener, TokioTcpStream, TokioUnixListener, TokioUnixStream};
pub use runtime::{TokioRuntime, TokioTask};
pub use signal::{Signal, TerminationSignals};
pub use time::TokioSleep;
