//! The Connectivity API: look up a connectivity service, get a dialer for it, dial.
//!
//! This is Konnectivity's original contract with the API server, for any Rust program: a configuration file says
//! which services there are and how each is reached, and what is dialled comes as one type of stream, whichever
//! way it goes.
//!
//! | way | how |
//! | --- | --- |
//! | direct | a TCP connection from here |
//! | HTTP-CONNECT | a connection to the proxy server (Unix socket, TCP, TLS) for each dial |
//! | gRPC | a Proxy stream for each dial; they share connections to the proxy server (Unix socket, TCP, TLS) |
//!
//! ```no_run
//! # use dialback_runtime::{Runtime, connectivity::{Connectivity, NetworkContext}};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! # async fn hello<R: Runtime>(runtime: R) -> Result<(), Box<dyn std::error::Error>> {
//! let connectivity = Connectivity::from_file(runtime, "egress-selector.yaml")?;
//! let dialer = connectivity.lookup(&NetworkContext::new("cluster"))?;
//! let mut stream = dialer.dial("10.0.0.1:10250").await?;
//! stream.write_all(b"hello").await?;
//! let mut answer = Vec::new();
//! stream.read_to_end(&mut answer).await?;
//! # Ok(())
//! # }
//! ```

mod dialer;
mod error;
mod grpc_stream;
mod heard;
mod http_connect;
mod links;
mod lookup;
mod stream;
mod transport;

pub use dialer::{Dialer, DialerOptions};
pub use error::{ConnectivityError, DialError, ProxyError};
pub use lookup::{Connectivity, NetworkContext};
pub use stream::{Closed, Closing, DialbackStream};

pub use dialback_core::Initiator;
pub use dialback_core::connectivity::{
    ConnectivityConfig, ProxyAddress, Route, TcpProxy, TlsFiles,
};
