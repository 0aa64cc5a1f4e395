//! The agent's health and admin ports.

use std::sync::Arc;

use dialback_runtime::agent::Agent;
use dialback_runtime::http::{agent_admin, agent_health};
use dialback_tokio::TokioRuntime;
use tokio::task::JoinSet;

use crate::daemon::listener::{TcpListener, answer};
use crate::flags::AgentOptions;

/// Serves both until the tasks are dropped.
pub(super) fn serve(
    tasks: &mut JoinSet<()>,
    runtime: &TokioRuntime,
    agent: &Arc<Agent<TokioRuntime>>,
    health: TcpListener,
    admin: TcpListener,
    options: &AgentOptions,
) {
    let ready = Arc::clone(agent);
    let routes = agent_health(
        move || ready.connected() > 0,
        agent.metrics().registry().clone(),
    );
    tasks.spawn(answer(runtime.clone(), health, routes));
    tasks.spawn(answer(
        runtime.clone(),
        admin,
        agent_admin(options.health.port, options.profiling),
    ));
}
