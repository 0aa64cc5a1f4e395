//! Servers and agents on one runtime, for tests that are to hold on each.

use std::future::Future;
use std::net::SocketAddr;

use dialback_runtime::Runtime;

use crate::agent::{AgentOptions, RunningAgent};
use crate::log::Log;
use crate::observed::Observed;
use crate::pair::{Pair, PairOptions};
use crate::pki::Pki;
use crate::run::run_with;
use crate::server::{RunningServer, ServerOptions};
use crate::task::Task;
use crate::wait::{eventually, within};

/// The runtime that a test is about. Frontends, endpoints and played peers are not: they run on the tokio runtime
/// of the test itself, and all that the two have in common are sockets.
pub struct World<R> {
    pub runtime: Observed<R>,
    pub log: Log,
}

/// Runs a test on the runtime that `start` starts, hands over, and ends when that returns; before that every task
/// on it must end, and no error may have been logged.
///
/// # Panics
/// When the test does, or leaves something behind.
pub fn run_on<R: Runtime>(
    start: impl FnOnce(Box<dyn FnOnce(R) + '_>),
    test: impl AsyncFnOnce(&World<R>),
) {
    run_with(start, async |runtime, log| {
        let runtime = Observed::new(runtime, log.dispatch());
        let world = World { runtime, log };
        test(&world).await;
        world.nothing_left().await;
    });
}

impl<R: Runtime> World<R> {
    /// Runs a future in a task of the runtime and waits for its result.
    pub async fn inside<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        within("a task ends", Task::start(&self.runtime, future).join()).await
    }

    /// Waits until every task on the runtime has ended.
    pub async fn nothing_left(&self) {
        eventually("every task has ended", || self.runtime.task_count() == 0).await;
    }

    /// Starts a server and agents.
    pub async fn pair(&self, options: PairOptions) -> Pair<Observed<R>> {
        Pair::start_on(&self.runtime, options).await
    }

    /// Starts a server.
    pub fn server(&self, pki: &Pki, options: ServerOptions) -> RunningServer<Observed<R>> {
        RunningServer::start_on(&self.runtime, pki, options)
    }

    /// Starts an agent; it is not connected yet.
    pub fn agent(
        &self,
        pki: &Pki,
        server: SocketAddr,
        options: AgentOptions,
    ) -> RunningAgent<Observed<R>> {
        RunningAgent::start_on(&self.runtime, pki, server, options)
    }
}
