//! gRPC over h2: bidirectional streams of messages, for both ends, on any byte stream and any [`Runtime`].
//!
//! Own framing on h2 instead of a gRPC library, because a tunnel needs what those hide: backpressure by stream,
//! messages that are never copied, and h2's allowance for small frames, without which a tunnel of small packets
//! is taken for an attack.
//!
//! Everything is poll-driven and nothing spawns tasks: a connection and its streams are plain objects that one
//! task can drive together. See [`ServerConnection`], [`ClientConnection`] and [`MessageStream`].
//!
//! [`Runtime`]: crate::Runtime

mod activity;
mod call;
mod client;
mod config;
mod error;
mod headers;
mod keepalive;
mod server;
mod status;
mod stream;
mod transport;

pub use call::{Call, MethodName};
pub use client::{Caller, ClientConnection, InvalidAuthority, Target};
pub use config::{ACCEPT_TIMEOUT, ClientConfig, Http2Config, KeepaliveConfig, ServerConfig};
pub use dialback_core::http2::PingPolicy;
pub use dialback_core::wire::{Code, Frame, Status};
pub use error::{ConnectionError, NoAnswer};
pub use h2::Reason;
pub use server::ServerConnection;
pub use stream::MessageStream;
