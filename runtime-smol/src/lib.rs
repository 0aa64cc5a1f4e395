//! [`dialback_runtime::Runtime`] on the parts of smol: `async-io` for sockets and timers, any executor for tasks.
//!
//! No runtime of tokio's is linked; the traits of `tokio::io` are, since h2 and rustls speak them.
//!
//! An application without an executor of its own calls [`SmolRuntime::run`]. One that has a
//! [`smol::Executor`](async_executor::Executor) gives [`SmolRuntime::new`] a reference to it, and one with any
//! other executor implements [`Spawn`] for it, in a dozen lines: `async-io` brings a thread of its own and
//! works under all of them.

pub mod connectivity;
mod executor;
mod net;
mod runtime;
mod signal;
mod time;

pub use executor::{ExecutorHandle, SmolTask, Spawn};
pub use net::{SmolTcpListener, SmolTcpStream, SmolUnixListener, SmolUnixStream};
pub use runtime::SmolRuntime;
pub use signal::{Signal, TerminationSignals};
pub use time::SmolSleep;
