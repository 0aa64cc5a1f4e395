//! A simulated network, under a virtual clock, that Dialback's server, agent and client run on unmodified.
//!
//! A [`Simulation`] has hosts; each [`Host`] is a [`Runtime`](dialback_runtime::Runtime) of its own, and what runs on
//! them meets in a network with latency, bandwidth, full back-logs, partitions, resets and peers that are gone without
//! a word. One thread polls all tasks, time passes only when nobody has anything to do, and whatever is left to chance
//! (the order of tasks, jitter, tokens) comes of one seed: the same seed gives the same [`EventLog`].
//!
//! What stays real is cryptography: keys differ from run to run, and with them the bytes of TLS, but not how many
//! there are.
//!
//! ```
//! use dialback_runtime::{Listener, Runtime};
//! use dialback_simulation::Simulation;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! Simulation::run(1, async |simulation| {
//!     let (near, far) = (simulation.host("near"), simulation.host("far"));
//!     let listener = far.listen_tcp(far.address(80)).expect("nobody else listens");
//!     let mut client = near.connect_tcp(far.address(80)).await.expect("somebody listens");
//!     let (mut server, _) = listener.accept().await.expect("a connection");
//!     client.write_all(b"hello").await.expect("an open connection");
//!     drop(client);
//!     let mut received = String::new();
//!     server.read_to_string(&mut received).await.expect("an orderly end");
//!     assert_eq!(received, "hello");
//! });
//! ```

pub mod cast;
mod clock;
mod event_log;
mod executor;
mod host;
mod network;
mod seeds;
mod simulation;
mod spoken;
mod world;

pub use clock::SimulatedSleep;
pub use event_log::EventLog;
pub use executor::SimulatedTask;
pub use host::Host;
pub use network::{PathConfig, SimulatedListener, SimulatedStream, Told};
pub use seeds::{Seeds, for_each_seed};
pub use simulation::Simulation;
