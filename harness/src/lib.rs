//! Everything around Dialback's machines that a test needs, without sockets, threads or waiting.
//!
//! A [`Triad`] is a server with its frontends, agents and endpoints, joined by wires that delay, stall and cut,
//! under one simulated clock. The tests in `tests/` read like what they show; [`scenario::check`] makes a run
//! of any bytes and compares it with a small model, for property tests and fuzzing.
//!
//! ```
//! use dialback_harness::Setup;
//!
//! let mut t = Setup::flow_controlled().start_with_agent();
//! let frontend = t.open_connect("10.0.0.1:443");
//! t[frontend].write(b"hello");
//! t.run_until_idle();
//! assert_eq!(t.endpoints.at("10.0.0.1:443").received(), b"hello");
//!
//! t[frontend].close();
//! t.run_until_idle();
//! t.assert_nothing_left();
//! ```

#![warn(missing_docs)]

mod agent;
mod endpoint;
mod frontend;
pub mod fuzzed;
pub mod hostile;
mod pipe;
mod resumption;
pub mod scenario;
mod server;
mod setup;
mod task;
mod transport;
mod triad;
mod tunnel;
mod wire;

pub use agent::AgentEnd;
pub use endpoint::{Behaviour, DialOutcome, Endpoint, Endpoints};
pub use frontend::{ConnectFrontend, GrpcFrontend};
pub use pipe::{Piece, Pipe, PipeConfig, PipeEnd};
pub use resumption::Reconnect;
pub use server::ServerEnd;
pub use setup::Setup;
pub use transport::Cut;
pub use triad::{Connect, Grpc, Triad};
pub use tunnel::Tunnel;
pub use wire::PacketWire;
