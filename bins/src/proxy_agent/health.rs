//! The agent's health and admin ports.

use std::sync::Arc;
use std::time::SystemTime;

use dialback_runtime::Runtime;
use dialback_runtime::agent::Agent;
use dialback_runtime::http::{Readiness, agent_admin, agent_health, with_verbosity};
use dialback_runtime::metrics::CertificateMetrics;

use crate::daemon::Tasks;
use crate::daemon::listener::answer;
use crate::flags::AgentOptions;
use crate::logging::set_verbosity;
use crate::profiling::with_profiling;
use crate::status::with_status;

/// Serves both until the tasks are dropped.
pub(super) fn serve<R: Runtime>(
    tasks: &mut Tasks<R>,
    runtime: &R,
    agent: &Arc<Agent<R>>,
    health: R::TcpListener,
    admin: R::TcpListener,
    certificates: CertificateMetrics,
    options: &AgentOptions,
) {
    let serving = Arc::clone(agent);
    let readiness = move || {
        let mut missing = serving.complaints();
        missing.extend(certificates.complaints(SystemTime::now()));
        Readiness {
            ready: serving.connected() > 0,
            missing,
        }
    };
    let routes = agent_health(readiness, agent.metrics().registry().clone());
    tasks.spawn(answer(runtime.clone(), health, routes));
    let routes = with_verbosity(agent_admin(options.health.port), set_verbosity);
    let shown = Arc::clone(agent);
    let routes = with_status(routes, options.status_page, move |page| shown.status(page));
    let routes = with_profiling(routes, options.profiling);
    tasks.spawn(answer(runtime.clone(), admin, routes));
}
