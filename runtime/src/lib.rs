//! The async driver of `dialback-core`, written once against the [`Runtime`] trait.

pub mod agent;
pub mod connectivity;
pub mod dial;
pub mod grpc;
pub mod http;
pub mod listen;
mod metadata;
pub mod metrics;
mod net;
mod percent;
mod runtime;
pub mod server;
mod signal;
pub mod status;
mod system_error;
mod timer;
pub mod tls;
mod tunnel;

pub use net::{
    Listener, PeerAddr, Socket, TcpOptions, UnixCredentials, reset_on_close, unix_credentials,
};
pub use runtime::{NoRandomness, Runtime, Sleep, Task};
pub use signal::Signal;
pub use timer::{Elapsed, Timer, timeout_at};
