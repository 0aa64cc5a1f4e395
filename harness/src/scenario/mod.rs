//! Any bytes as a run of a triad, and a small model that knows what must come of it.

mod connection;
mod operation;
mod run;

use crate::pipe::PipeConfig;
use crate::setup::Setup;
pub use operation::Operation;
use operation::{Input, SOCKET_ROOM_BYTES};
use run::Run;

/// A setup and what happens in it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Bounds and wires.
    pub setup: Setup,
    /// Of every connection to an endpoint.
    pub endpoint: PipeConfig,
    /// In order.
    pub operations: Vec<Operation>,
}

/// Runs the scenario that `bytes` stand for.
///
/// # Panics
///
/// When a machine breaks what the model knows: bytes out are a prefix of bytes in, and all of them when the end
/// was orderly; a dial is answered once; queues stay within their bounds; both sides of a connection learn of
/// its end; nobody who does not read keeps others waiting; nothing waits for ever once everybody reads; and
/// nothing is left once everybody has closed.
pub fn check(bytes: &[u8]) {
    Scenario::from_bytes(bytes).run();
}

impl Scenario {
    /// The scenario that `bytes` stand for; any do.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut input = Input::new(bytes);
        Self {
            setup: input.setup(),
            endpoint: input.pipe(SOCKET_ROOM_BYTES),
            operations: input.operations(),
        }
    }

    /// Runs it to its end and beyond.
    ///
    /// # Panics
    ///
    /// As [`check`].
    pub fn run(self) {
        let mut run = Run::new(self.setup.start_with_agent(), self.endpoint);
        for operation in self.operations {
            run.step(operation);
        }
        run.probe();
        run.settle();
        run.close_everything();
    }
}
