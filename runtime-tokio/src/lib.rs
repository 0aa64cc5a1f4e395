//! [`dialback_runtime::Runtime`] on tokio: sockets, timers, tasks and signals.

mod net;
mod runtime;
mod signal;
mod time;

pub use net::{TokioTcpListener, TokioTcpStream, TokioUnixListener, TokioUnixStream};
pub use runtime::{TokioRuntime, TokioTask};
pub use signal::{Signal, TerminationSignals};
pub use time::TokioSleep;
