//! Any bytes as a run of a triad, and a small model that knows what must come of it.

mod connection;
mod operation;
mod run;

use std::time::Duration;

use crate::pipe::PipeConfig;
use crate::setup::Setup;
use crate::transport::Cut;
use dialback_core::MemoryBudget;
pub use operation::Operation;
use operation::{Input, SOCKET_ROOM_BYTES};
use run::Run;

/// When a dead transport is noticed at last.
const KEEP_ALIVE: Duration = Duration::from_secs(40);
/// Longer than any scenario.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// A setup and what happens in it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is bound to.
    pub rules: Rules,
    /// Bounds and wires.
    pub setup: Setup,
    /// Of every connection to an endpoint.
    pub endpoint: PipeConfig,
    /// In order.
    pub operations: Vec<Operation>,
}

/// What a scenario is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// Anything goes.
    #[default]
    Any,
    /// Both ends have every extension, transports come and go, but no session is ever lost: no stream may end that
    /// nobody ended.
    AlwaysResumed,
    /// Both ends have flow control and little memory.
    ShortOfMemory,
}

/// Runs the scenario that `bytes` stand for.
///
/// # Panics
///
/// When a machine breaks what the model knows: bytes out are a prefix of bytes in, and all of them when the end
/// was orderly; a dial is answered once; queues stay within their bounds; both sides of a connection learn of
/// its end; nobody who does not read keeps others waiting; nothing waits for ever once everybody reads; and
/// nothing is left once everybody has closed.
pub fn check(rules: Rules, bytes: &[u8]) {
    Scenario::from_bytes(rules, bytes).run();
}

impl Rules {
    fn bind(self, mut setup: Setup) -> Setup {
        match self {
            Self::Any => {}
            Self::AlwaysResumed => {
                setup.flow_control = true;
                setup.resume = true;
                for session in [&mut setup.server.session, &mut setup.agent.session] {
                    session.timeout = NEVER;
                }
            }
            Self::ShortOfMemory => {
                setup.flow_control = true;
                for mux in [&mut setup.server.mux, &mut setup.agent.mux] {
                    let limit = mux.memory.limit_bytes().min(100_000);
                    mux.memory = MemoryBudget::new(limit);
                }
            }
        }
        setup
    }

    /// What may happen in place of an operation.
    fn allow(self, resume: bool, operation: Operation) -> Operation {
        match (self, operation) {
            (_, Operation::TunnelCut(which, cut)) if !resume => {
                // What notices a dead transport of a plain tunnel lies below the links.
                let noticed = |after: Option<Duration>| after.or(Some(KEEP_ALIVE));
                let cut = Cut {
                    server_notices: noticed(cut.server_notices),
                    agent_notices: noticed(cut.agent_notices),
                    ..cut
                };
                Operation::TunnelCut(which, cut)
            }
            (Self::AlwaysResumed, Operation::TunnelLost(which, late)) => {
                let cut = Cut {
                    agent_notices: Some(late),
                    ..Cut::CLEAN
                };
                Operation::TunnelCut(which, cut)
            }
            (
                Self::AlwaysResumed,
                Operation::AgentRestarts(which) | Operation::SessionForgotten(which),
            ) => Operation::OfferInVain(which, Duration::ZERO),
            (Self::Any | Self::AlwaysResumed | Self::ShortOfMemory, operation) => operation,
        }
    }
}

impl Scenario {
    /// The scenario that `bytes` stand for; any do.
    #[must_use]
    pub fn from_bytes(rules: Rules, bytes: &[u8]) -> Self {
        let mut input = Input::new(bytes);
        let setup = rules.bind(input.setup());
        Self {
            rules,
            setup,
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
        let resume = self.setup.resume;
        let mut run = Run::new(self.rules, self.setup, self.endpoint);
        for operation in self.operations {
            run.step(self.rules.allow(resume, operation));
        }
        run.probe();
        run.settle();
        run.close_everything();
    }
}
