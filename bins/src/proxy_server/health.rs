//! The server's health and admin ports.

use std::sync::Arc;

use dialback_runtime::Runtime;
use dialback_runtime::http::{server_admin, server_health};
use dialback_runtime::server::Server;

use crate::daemon::Tasks;
use crate::daemon::listener::answer;

/// Serves both until the tasks are dropped.
pub(super) fn serve<R: Runtime>(
    tasks: &mut Tasks<R>,
    runtime: &R,
    server: &Arc<Server<R>>,
    health: R::TcpListener,
    admin: R::TcpListener,
    profiling: bool,
) {
    let ready = Arc::clone(server);
    let registry = server.metrics().registry().clone();
    let routes = server_health(move || ready.is_ready(), registry.clone());
    tasks.spawn(answer(runtime.clone(), health, routes));
    tasks.spawn(answer(
        runtime.clone(),
        admin,
        server_admin(registry, profiling),
    ));
}
