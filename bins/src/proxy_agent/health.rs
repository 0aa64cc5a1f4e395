//! The agent's health and admin ports.

use std::sync::Arc;

use dialback_runtime::Runtime;
use dialback_runtime::agent::Agent;
use dialback_runtime::http::{agent_admin, agent_health};

use crate::daemon::Tasks;
use crate::daemon::listener::answer;
use crate::flags::AgentOptions;

/// Serves both until the tasks are dropped.
pub(super) fn serve<R: Runtime>(
    tasks: &mut Tasks<R>,
    runtime: &R,
    agent: &Arc<Agent<R>>,
    health: R::TcpListener,
    admin: R::TcpListener,
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
