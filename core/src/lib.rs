//! The Konnectivity protocol (KEP-1281) as pure state machines.
//!
//! Nothing here does I/O, reads a clock, draws a random number, logs or starts a thread: time and random ids
//! come in as arguments. So a tunnel runs inside one test function, a day of timeouts takes a millisecond, and
//! any event loop can drive it.
//!
//! # The machines
//!
//! | machine | what it is |
//! | --- | --- |
//! | [`server::Router`] | which agent serves a dial; asked once a dial |
//! | [`server::Link`] | one agent's tunnel at the server: dials, streams, queues both ways, credit |
//! | [`server::ProxyStream`] | one gRPC frontend's call |
//! | [`agent::Link`] | the other end of a tunnel: packets become endpoint connections and back |
//! | [`agent::Fleet`] | how many servers an agent is connected to, and when it tries the next |
//! | [`client::Tunnel`] | a frontend's own side of a Proxy stream |
//!
//! Beside them [`wire`] has the bytes of the protocol, [`connect`] the HTTP-CONNECT requests and answers,
//! [`http2`] what has to happen in front of an HTTP/2 library, [`connectivity`] the configuration of frontends, and [`audit`]
//! what is written down of it all.
//!
//! # Driving a machine
//!
//! - One input (`handle_*`, `dial`, `poll_transmit`), then drain all outputs (`poll_wake`, `poll_event`), then
//!   the next input.
//! - `now` never goes back. An early, late or repeated `handle_timeout` does no harm; ask `poll_timeout` after
//!   every input, `None` means that nothing is waited for.
//! - Call `poll_transmit` only while the transport has room: the machine's queue is the fair one, so keep none
//!   of your own behind it.
//! - Read a source only while the machine wants it: `wants_read` for a tunnel, `wants_frontend_data` and
//!   `wants_endpoint_data` for a stream. A stream named by `poll_wake` is to be asked again.
//!
//! ```
//! use std::time::Instant;
//!
//! use bytes::Bytes;
//! use dialback_core::agent::{self, EndpointOutput};
//! use dialback_core::server::{self, StreamOutput};
//! use dialback_core::Negotiated;
//!
//! let now = Instant::now();
//! let mut server = server::Link::new(server::LinkConfig::default(), Negotiated::default(), 1);
//! let mut agent = agent::Link::new(agent::LinkConfig::default(), Negotiated::default());
//!
//! // A frontend dials; the packet crosses the tunnel and becomes something to do for the agent's driver.
//! let stream = server.dial(now, "tcp".into(), "10.0.0.1:443".into())?;
//! while let Some(packet) = server.poll_transmit(now) {
//!     agent.handle_packet(now, packet);
//! }
//! let Some(agent::LinkEvent::Dial { stream: dialled, address, .. }) = agent.poll_event() else {
//!     unreachable!("a dial was sent");
//! };
//! assert_eq!(address, "10.0.0.1:443");
//!
//! // The driver has connected. The answer travels back, and the frontend is told.
//! agent.handle_dialled(now, dialled, Ok(None));
//! while let Some(packet) = agent.poll_transmit(now) {
//!     server.handle_packet(now, packet);
//! }
//! assert!(matches!(server.poll_stream(now, stream), Some(StreamOutput::Dialled(_))));
//!
//! // Bytes from the frontend come out at the endpoint.
//! server.handle_frontend_data(stream, Bytes::from_static(b"hello"));
//! while let Some(packet) = server.poll_transmit(now) {
//!     agent.handle_packet(now, packet);
//! }
//! let written = agent.poll_endpoint(now, dialled);
//! assert_eq!(written, Some(EndpointOutput::Write(Bytes::from_static(b"hello"))));
//! # Ok::<(), server::DialError>(())
//! ```
//!
//! # Words
//!
//! A **frontend** dials, an **endpoint** is dialled. An **agent** dials back to a **server** and keeps a
//! **tunnel** open, in here a **link**. A **dial** asks for a connection, a **stream** is what a link carries for
//! it, from the dial to the end. A **packet** is one message of the protocol. **Credit** is what a sender may
//! still send on a stream, out of the receiver's **window**. A **draining** agent wants no new dials.

#![warn(missing_docs)]

pub mod agent;
pub mod audit;
mod byte_queue;
pub mod client;
mod clip;
mod close;
pub mod connect;
pub mod connectivity;
mod entropy;
#[cfg(test)]
mod epoch;
pub mod http2;
mod identity;
mod ids;
mod load;
mod memory;
mod mux;
mod negotiated;
pub mod policy;
pub mod server;
mod session;
pub mod throttle;
pub mod wire;
mod yaml;

pub use clip::clip;
pub use close::{CloseReason, Initiator};
pub use entropy::Entropy;
pub use identity::{Identity, ServiceAccount, UnixCredentials};
pub use ids::{ConnectId, DialId, LinkId, StreamId};
pub use load::LinkLoad;
pub use memory::MemoryBudget;
pub use mux::{MuxConfig, QueuedBytes};
pub use negotiated::Negotiated;
pub use session::{SessionConfig, SessionError};
pub use wire::{Packet, PacketKind};
pub use yaml::{Problem, YamlError};
